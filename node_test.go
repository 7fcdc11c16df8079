package synod

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synod.dev/synod/disk"
	"synod.dev/synod/internal/freeport"
	"synod.dev/synod/paxos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a machine that remembers every command, in order; its result is the command's place.
type ledger struct {
	mu      sync.Mutex
	entries []uint64
	applied paxos.Slot
}

func (l *ledger) Apply(commands []Command) []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	results := make([]any, len(commands))
	for i, c := range commands {
		l.entries = append(l.entries, binary.LittleEndian.Uint64(c.Data))
		results[i] = len(l.entries)
	}
	return results
}

func (l *ledger) Applied() paxos.Slot { return l.applied }

func (l *ledger) snapshot() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

func number(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// cluster is some nodes in this process, with a link between each and the network that the test can cut.
type cluster struct {
	t       *testing.T
	members []Member
	listens []string
	dirs    []string
	nodes   []*Node
	ledgers []*ledger
	links   []*link
	joined  map[int]Member // those who are no founders, by index

	configure func(i int, cfg *Config) // nil for ledgers
}

func newCluster(t *testing.T, n int) *cluster { return newClusterOf(t, n, nil) }

func newClusterOf(t *testing.T, n int, configure func(i int, cfg *Config)) *cluster {
	c := &cluster{t: t, configure: configure, nodes: make([]*Node, n), ledgers: make([]*ledger, n), joined: map[int]Member{}}
	for i := range n {
		listen := freeAddress(t)
		l := newLink(t, listen)
		c.links = append(c.links, l)
		c.listens = append(c.listens, listen)
		c.members = append(c.members, Member{ID: paxos.NodeID(i + 1), Address: l.listener.Addr().String()})
		c.dirs = append(c.dirs, filepath.Join(t.TempDir(), fmt.Sprint(i+1)))
	}
	for i := range n {
		c.open(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.close(i)
		}
	})
	return c
}

func (c *cluster) config(i int) Config {
	c.ledgers[i] = &ledger{}
	cfg := Config{ID: paxos.NodeID(i + 1), Members: c.members, Listen: c.listens[i], Dir: c.dirs[i], Machine: c.ledgers[i], SegmentBytes: 1 << 20,
		Heartbeat: 20 * time.Millisecond, ElectionTimeout: 400 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	if self, joined := c.joined[i]; joined {
		cfg.ID, cfg.Join, cfg.Cluster = self.ID, true, clusterOf(c.members)
		cfg.Members = append(slices.Clone(c.members), self)
	}
	if c.configure != nil {
		c.configure(i, &cfg)
	}
	return cfg
}

func (c *cluster) open(i int) {
	c.t.Helper()
	node, err := Open(c.config(i))
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = node
}

func (c *cluster) close(i int) {
	if c.nodes[i] != nil {
		if err := c.nodes[i].Close(); err != nil {
			c.t.Errorf("node %d: %v", i+1, err)
		}
		c.nodes[i] = nil
	}
}

// propose has a node execute a command, and returns its result. While the machine is busy the leader may change at any time, and with it the outcome is unknown: so the command may be there more than once.
func (c *cluster) propose(ctx context.Context, i int, command []byte) any {
	c.t.Helper()
	for {
		result, err := c.nodes[i].Propose(ctx, command)
		if err == nil {
			return result
		}
		if !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			c.t.Fatal(err)
		}
	}
}

// freeAddress returns an address of which nobody else takes the port before the node listens, or while it is closed.
func freeAddress(t *testing.T) string {
	t.Helper()
	addresses, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

// link passes connections on to a node, until the test cuts them.
type link struct {
	listener net.Listener
	target   string
	held     sync.RWMutex // with the lock held nothing passes
	mu       sync.Mutex
	open     map[net.Conn]bool
	ended    sync.WaitGroup
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, open: map[net.Conn]bool{}}
	l.ended.Go(l.accept)
	t.Cleanup(func() {
		listener.Close()
		ended := make(chan struct{})
		go func() { l.ended.Wait(); close(ended) }()
		for again := time.NewTicker(time.Millisecond); ; { // one that was being accepted is not known yet
			l.cut(1)
			select {
			case <-ended:
				again.Stop()
				return
			case <-again.C:
			}
		}
	})
	return l
}

func (l *link) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", l.target)
		if err != nil {
			in.Close()
			continue
		}
		l.mu.Lock()
		l.open[in], l.open[out] = true, true
		l.mu.Unlock()
		l.ended.Go(func() { l.pass(in, out) })
		l.ended.Go(func() { l.pass(out, in) })
	}
}

func (l *link) pass(from, to net.Conn) {
	io.Copy(gate{&l.held, to}, from)
	from.Close()
	to.Close()
	l.mu.Lock()
	delete(l.open, from)
	l.mu.Unlock()
}

// hold lets nothing pass for a while.
func (l *link) hold(d time.Duration) {
	l.held.Lock()
	time.AfterFunc(d, l.held.Unlock)
}

// gate writes while nobody holds it.
type gate struct {
	held *sync.RWMutex
	to   io.Writer
}

func (g gate) Write(p []byte) (int, error) {
	g.held.RLock()
	defer g.held.RUnlock()
	return g.to.Write(p)
}

// cut breaks about a share of the connections.
func (l *link) cut(share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		if rand.Float64() < share {
			conn.Close()
		}
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestClustersOfOneThreeFiveAndSevenWork(t *testing.T) {
	for _, n := range []int{1, 3, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCluster(t, n)
			ctx := within(t, 30*time.Second)
			var want []uint64
			last := 0
			for i := range c.nodes {
				place := c.propose(ctx, i, number(uint64(i))).(int)
				if got := c.ledgers[i].snapshot(); place <= last || got[place-1] != uint64(i) {
					t.Fatalf("node %d is told place %d of %v, after place %d", i+1, place, got, last)
				}
				want, last = append(want, uint64(i)), place
			}
			for i, node := range c.nodes {
				if err := node.Read(ctx); err != nil {
					t.Fatal(err)
				}
				got := c.ledgers[i].snapshot()
				if first := c.ledgers[0].snapshot(); !slices.Equal(got, first) {
					t.Errorf("node %d has read %v, node 1 %v", i+1, got, first)
				}
				slices.Sort(got)
				if got = slices.Compact(got); !slices.Equal(got, want) { // what a change of the leader left open is there twice
					t.Errorf("node %d has read %v", i+1, got)
				}
			}
		})
	}
}

// Under a network that keeps breaking, and with nodes that come and go, every acknowledged command is in the log of all, at its place, once.
func TestNodesAgreeOverANetworkThatKeepsBreaking(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	var mu sync.Mutex
	acked := map[uint64]int{}
	failed := map[uint64]bool{}
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for client := range 12 {
		clients.Go(func() {
			node, machine := c.nodes[client%3], c.ledgers[client%3]
			for i := uint64(client) << 32; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				place, err := node.Propose(ctx, number(i))
				mu.Lock()
				if err == nil {
					acked[i] = place.(int)
				} else if !errors.Is(err, ErrUnknown) {
					failed[i] = true
				}
				known := len(acked)
				mu.Unlock()
				if i%8 == 0 && node.Read(ctx) == nil && len(machine.snapshot()) < known {
					t.Errorf("a read through node %d sees %d commands; %d had been acknowledged", client%3+1, len(machine.snapshot()), known)
				}
				cancel()
			}
		})
	}
	breaks := time.NewTicker(80 * time.Millisecond)
	defer breaks.Stop()
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acked) >= 300
	}
	for n := 0; n < 50 || n < 500 && !enough(); n++ { // a busy machine does less in the time
		<-breaks.C
		c.links[rand.IntN(3)].cut(0.5)
	}
	close(stop)
	clients.Wait()

	ctx := within(t, 20*time.Second)
	for v := uint64(1 << 60); ; v++ { // a leader that the last break has cost leaves the outcome of one open
		_, err := c.nodes[0].Propose(ctx, number(v))
		if err == nil {
			break
		}
		if !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			t.Fatal("after the last break: ", err)
		}
	}
	var first []uint64
	for i, node := range c.nodes {
		if err := node.Read(ctx); err != nil {
			t.Fatal(err)
		}
		got := c.ledgers[i].snapshot()
		if i == 0 {
			first = got
		} else if !slices.Equal(first, got) {
			t.Fatalf("node %d has applied %d commands, node 1 %d others", i+1, len(got), len(first))
		}
	}
	count := map[uint64]int{}
	for _, v := range first {
		count[v]++
		if count[v] > 1 {
			t.Fatalf("command %x is applied twice", v)
		}
		if failed[v] {
			t.Fatalf("command %x is applied, and was said not to have happened", v)
		}
	}
	for v, place := range acked {
		if first[place-1] != v {
			t.Fatalf("command %x was acknowledged at place %d, which has %x", v, place, first[place-1])
		}
	}
	if len(acked) < 300 {
		t.Errorf("only %d commands were acknowledged: the test tests little", len(acked))
	}
}

func TestCloseLosesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	acked := map[uint64]bool{}
	for round := range 5 {
		for i := range 20 {
			v := uint64(100*round + i)
			if _, err := c.nodes[i%3].Propose(ctx, number(v)); err == nil {
				acked[v] = true
			} else if !errors.Is(err, ErrUnknown) { // the leader may change
				t.Fatal(err)
			}
		}
		for i := range c.nodes {
			c.close(i)
		}
		for i := range c.nodes {
			c.open(i)
		}
	}
	for i, node := range c.nodes {
		if err := node.Read(ctx); err != nil {
			t.Fatal(err)
		}
		got := c.ledgers[i].snapshot()
		for v := range acked {
			if !slices.Contains(got, v) {
				t.Errorf("node %d does not have command %d", i+1, v)
			}
		}
		if len(got) > 100 || len(acked) < 80 {
			t.Errorf("node %d has %d commands of 100, of which %d were acknowledged", i+1, len(got), len(acked))
		}
	}
}

// A member that was away catches up from its peers, and the others go on without it.
func TestAMemberThatWasAwayCatchesUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	last := 0
	propose := func(from, to int) {
		for i := from; i < to; i++ {
			last = c.propose(ctx, 0, append(number(uint64(i)), make([]byte, 100<<10)...)).(int)
		}
	}
	propose(0, 10)
	c.close(2)
	if err := c.nodes[0].Read(ctx); err != nil { // whoever leads now, it is not that member
		t.Fatal(err)
	}
	propose(10, 310) // 30 MB: more than the core keeps in memory
	c.open(2)
	if err := c.nodes[2].Read(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(c.ledgers[2].snapshot()); got < last {
		t.Errorf("it has %d commands of %d", got, last)
	}
}

func TestAMemberWithAWipedDirectoryIsRefusedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx := within(t, 30*time.Second)
	c.propose(ctx, 0, number(1))
	c.close(2)
	if err := os.RemoveAll(c.dirs[2]); err != nil {
		t.Fatal(err)
	}
	c.open(2)
	select {
	case <-c.nodes[2].Done():
	case <-ctx.Done():
		t.Fatal("the wiped member is still running")
	}
	if err := c.nodes[2].Err(); err == nil || !strings.Contains(err.Error(), "wiped") {
		t.Errorf("it says %v", err)
	}
	if _, err := c.nodes[2].Propose(ctx, number(2)); !errors.Is(err, ErrFailed) {
		t.Errorf("it answers %v", err)
	}
	c.propose(ctx, 0, number(3)) // the others go on
}

// Nothing is acknowledged once a sync has failed, and the node says why it stopped.
func TestANodeWhoseDiskFailsAcknowledgesNothingMore(t *testing.T) {
	fs := disk.NewMem()
	cfg := Config{ID: 1, Members: []Member{{ID: 1}}, Dir: "/log", Machine: &ledger{}, SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler), fs: fs}
	node, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	ctx := within(t, 20*time.Second)
	if _, err := node.Propose(ctx, number(1)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no such luck")
	fs.Intercept(func(call disk.Call) error {
		if call.Op == disk.OpSync {
			return broken
		}
		return nil
	})
	if _, err := node.Propose(ctx, number(2)); !errors.Is(err, ErrUnknown) {
		t.Errorf("the command under way: %v", err)
	}
	<-node.Done()
	if !errors.Is(node.Err(), broken) {
		t.Errorf("the node says %v", node.Err())
	}
	fs.Intercept(nil)
	if _, err := node.Propose(ctx, number(3)); !errors.Is(err, ErrFailed) {
		t.Errorf("afterwards: %v", err)
	}
	if err := node.Read(ctx); !errors.Is(err, ErrFailed) {
		t.Errorf("a read afterwards: %v", err)
	}
}

// A cluster of one acknowledges what a power cut cannot take away: at every sync the disk is cut, and what was acknowledged by then is there.
func TestAClusterOfOneAcknowledgesOnlyWhatIsDurable(t *testing.T) {
	t.Parallel()
	fs := disk.NewMem()
	config := func(fs disk.FS, machine *ledger) Config {
		return Config{ID: 1, Members: []Member{{ID: 1}}, Dir: "/log", Machine: machine, SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler), fs: fs}
	}
	node, err := Open(config(fs, &ledger{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 60*time.Second)
	for i := range 50 {
		if _, err := node.Propose(ctx, number(uint64(i))); err != nil {
			t.Fatal(err)
		}
		cut := fs.Crash(disk.DropAll)
		machine := &ledger{}
		again, err := Open(config(cut, machine))
		if err != nil {
			t.Fatalf("after command %d: %v", i, err)
		}
		if err := again.Read(ctx); err != nil {
			t.Fatal(err)
		}
		if got := len(machine.snapshot()); got != i+1 {
			t.Fatalf("command %d was acknowledged, and after a power cut there are %d", i+1, got)
		}
		again.Close()
	}
	node.Close()
}

func TestBadConfigurationsAreRefusedInOneLine(t *testing.T) {
	good := func() Config {
		return Config{ID: 1, Members: []Member{{ID: 1}}, Dir: filepath.Join(t.TempDir(), "log"), Machine: &ledger{}, SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
	}
	for _, tc := range []struct {
		says   string
		change func(*Config)
	}{
		{"not among the members", func(c *Config) { c.ID = 2 }},
		{"other than 0", func(c *Config) { c.Members = []Member{{}, {ID: 1}} }},
		{"two members have the ID 1", func(c *Config) {
			c.Members = []Member{{ID: 1, Address: "127.0.0.1:1"}, {ID: 1, Address: "127.0.0.1:2"}}
		}},
		{"has no address", func(c *Config) { c.Members = []Member{{ID: 1, Address: "127.0.0.1:1"}, {ID: 2}} }},
		{"Dir is empty", func(c *Config) { c.Dir = "" }},
		{"Machine is nil", func(c *Config) { c.Machine = nil }},
		{"heartbeat of 1ms is too short", func(c *Config) { c.Heartbeat = time.Millisecond }},
		{"election timeout of 100ms is too short", func(c *Config) { c.ElectionTimeout = 100 * time.Millisecond }},
		{"do not fit", func(c *Config) { c.MaxCommandBytes = 1 << 30 }},
		{"the state machine has applied slot 7", func(c *Config) { c.Machine = &ledger{applied: 7} }},
	} {
		cfg := good()
		tc.change(&cfg)
		node, err := Open(cfg)
		if err == nil {
			node.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", tc.says, err)
		}
	}
}

func TestADirectoryIsOpenedOnceAndByItsOwnMemberAlone(t *testing.T) {
	cfg := Config{ID: 1, Members: []Member{{ID: 1}}, Dir: filepath.Join(t.TempDir(), "log"), Machine: &ledger{}, SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
	node, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	node.Close()
	other := cfg
	other.ID, other.Members = 2, []Member{{ID: 2}}
	if again, err := Open(other); err == nil {
		again.Close()
		t.Error("another member opens the directory")
	}
	grown := cfg
	grown.Cluster = clusterOf(cfg.Members)
	grown.Members = []Member{{ID: 1, Address: "127.0.0.1:1"}, {ID: 2, Address: "127.0.0.1:2"}}
	if again, err := Open(grown); err == nil {
		again.Close()
		t.Error("the directory of a cluster of one opens as one of two")
	}
}

func TestTooMuchAtOnceIsRefusedAndDidNotHappen(t *testing.T) {
	c := newCluster(t, 1)
	ctx := within(t, 20*time.Second)
	if _, err := c.nodes[0].Propose(ctx, make([]byte, 3<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a command over the limit: %v", err)
	}
	c.close(0)
	cfg := c.config(0)
	cfg.MaxPending = 4
	fs := disk.NewMem()
	cfg.fs, cfg.Dir = fs, "/log"
	node, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if _, err := node.Propose(ctx, number(1)); err != nil {
		t.Fatal(err)
	}
	stalled, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.Intercept(func(call disk.Call) error {
		if call.Op == disk.OpSync {
			once.Do(func() { close(stalled) })
			<-free
		}
		return nil
	})
	var proposers sync.WaitGroup
	outcomes := make(chan error, 8)
	for i := range 8 {
		proposers.Go(func() {
			_, err := node.Propose(ctx, number(uint64(2+i)))
			outcomes <- err
		})
	}
	<-stalled
	refused := 0
	for range 4 { // four wait for the disk; four are turned away
		if err := <-outcomes; errors.Is(err, ErrOverloaded) {
			refused++
		}
	}
	close(free)
	proposers.Wait()
	if refused != 4 {
		t.Errorf("%d of 8 commands were refused, 4 fit", refused)
	}
	if err := node.Read(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(c.ledgers[0].snapshot()); got != 5 {
		t.Errorf("%d commands are applied, 5 were accepted", got)
	}
}

// Reads that nobody can confirm do not pile up, however many callers give up and come again.
func TestReadsThatCannotBeConfirmedAreBounded(t *testing.T) {
	members := []Member{{ID: 1, Address: freeAddress(t)}, {ID: 2, Address: freeAddress(t)}} // the second never comes
	node, err := Open(Config{ID: 1, Members: members, Dir: filepath.Join(t.TempDir(), "log"), Machine: &ledger{}, MaxPending: 4, SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range 6 {
		want := ErrReadTimeout
		if i >= 4 {
			want = ErrOverloaded
		}
		if err := node.Read(gone); !errors.Is(err, want) {
			t.Errorf("read %d: %v, want %v", i+1, err, want)
		}
	}
}
