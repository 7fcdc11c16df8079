package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"synod.dev/synod/internal/freeport"
)

const (
	// patience bounds every wait for something that must come about, on a machine that is busy.
	patience = time.Minute
	// pollEvery is how often a condition is looked at that nobody announces.
	pollEvery = 5 * time.Millisecond
	// readyLine is what a member logs once it serves, as etcd does.
	readyLine = "ready to serve client requests"
	// lineMax bounds a line of a member's log, in bytes.
	lineMax = 1 << 20
	// logTail is how many lines of each member's log a failed test shows.
	logTail = 60
)

// programs is the directory of the binary under test.
var programs string

var programsFlag = flag.String("programs", "", "the directory of a synod that has been built already")

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// buildAndRun builds synod as it is released: static, without cgo. It is built into a directory of this run's own, so that no
// other run replaces it between the death of a member and its return.
func buildAndRun(m *testing.M) int {
	flag.Parse()
	if programs = *programsFlag; programs != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "synod-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "synod"), "./cmd/synod")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build synod: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// cluster is a cluster of real processes on this machine.
type cluster struct {
	t       testing.TB
	members []*member
}

// member is one member of a cluster: the same through all the processes that run it.
type member struct {
	t       testing.TB
	program []string
	name    string
	place
	dir   string // for its data
	flags []string
	api   *clientv3.Client // to this member alone

	*process // the last one
}

// place is where a member is to be found, and where it listens. They differ where something stands between.
type place struct {
	client, peer             string // addresses
	listenClient, listenPeer string
}

// serve is the program under test.
func serve() []string { return []string{filepath.Join(programs, "synod"), "serve"} }

// startCluster starts n members and returns once all of them serve.
func startCluster(t testing.TB, n int) *cluster {
	t.Helper()
	return startClusterOf(t, serve(), n)
}

// startClusterOf starts a cluster of a program that takes etcd's flags and says that it is ready in etcd's words.
func startClusterOf(t testing.TB, program []string, n int) *cluster {
	t.Helper()
	var places []place
	for range n {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, program, places)
	c.start()
	return c
}

// newCluster describes a cluster, of which nothing runs yet.
func newCluster(t testing.TB, program []string, places []place) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var founders []string
	for i, p := range places {
		m := &member{t: t, program: program, name: string(rune('a' + i)), place: p}
		m.dir = filepath.Join(t.TempDir(), m.name)
		c.members = append(c.members, m)
		founders = append(founders, m.name+"=http://"+m.peer)
	}
	for _, m := range c.members {
		m.flags = []string{
			"--name=" + m.name, "--initial-cluster=" + strings.Join(founders, ","),
			"--listen-client-urls=http://" + m.listenClient, "--advertise-client-urls=http://" + m.client,
			"--listen-peer-urls=http://" + m.listenPeer, "--initial-advertise-peer-urls=http://" + m.peer,
		}
		m.api = newClient(t, m.client)
	}
	return c
}

// start starts all members and returns once all of them serve.
func (c *cluster) start() {
	c.t.Helper()
	startAll(c.members)
	for _, m := range c.members {
		m.awaitReady()
	}
}

func (m *member) start() {
	command := append(slices.Clone(m.program), "--data-dir="+m.dir)
	m.process = startProcess(m.t, m.name, append(command, m.flags...))
}

// leader returns the member that leads and says so itself.
func (c *cluster) leader() *member {
	c.t.Helper()
	var leader *member
	eventually(c.t, "a member that leads", func() bool {
		for _, m := range c.members {
			ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
			status, err := m.api.Status(ctx, m.client)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

// follower returns a random member that does not lead.
func (c *cluster) follower() *member {
	c.t.Helper()
	leader := c.leader()
	for {
		if m := c.members[rand.IntN(len(c.members))]; m != leader {
			return m
		}
	}
}

// agree waits until all members have got as far as each of them is now, and demands the same hash of all history from them.
// It returns the revision.
func (c *cluster) agree() int64 { return c.agreeWithin(patience) }

// agreeWithin is agree for stores that take long to hash.
func (c *cluster) agreeWithin(bound time.Duration) int64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), bound)
	defer cancel()
	var revision int64
	for round := range 2 { // the second time round, nobody is behind what anyone said the first time
		for _, m := range c.members {
			resp, err := m.api.Get(ctx, "a")
			if err != nil {
				c.t.Fatalf("%s does not answer: %v", m.name, err)
			}
			if round == 0 {
				revision = max(revision, resp.Header.Revision)
			}
		}
	}
	var want uint32
	for i, m := range c.members {
		resp, err := m.api.HashKV(ctx, m.client, revision)
		if err != nil {
			c.t.Fatalf("HashKV(%d) of %s: %v", revision, m.name, err)
		}
		if i == 0 {
			want = resp.Hash
		}
		if resp.Hash != want {
			c.t.Fatalf("at revision %d, %s has hash %x, %s has %x", revision, c.members[0].name, want, m.name, resp.Hash)
		}
	}
	return revision
}

// process is one run of the program as a member.
type process struct {
	t       testing.TB
	name    string
	command *exec.Cmd
	ready   chan struct{} // closed once it serves
	exited  chan struct{} // closed once it has ended and its log is read to the end

	mu    sync.Mutex
	lines []string // of stdout and stderr
}

// startProcess starts a member. It is killed at the end of the test, and its log shown if the test failed.
func startProcess(t testing.TB, name string, command []string) *process {
	t.Helper()
	p := &process{t: t, name: name, ready: make(chan struct{}), exited: make(chan struct{})}
	p.command = exec.Command(command[0], command[1:]...)
	p.command.SysProcAttr = boundToTest()
	output, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stdout = p.command.Stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewScanner(output)
	log.Buffer(nil, lineMax)
	go p.follow(log)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log of %s, process %d:\n%s", p.name, p.command.Process.Pid, p.tail())
		}
	})
	return p
}

// follow reads the log until the process ends.
func (p *process) follow(log *bufio.Scanner) {
	defer close(p.exited)
	for serves := false; log.Scan(); {
		line := log.Text()
		p.mu.Lock()
		p.lines = append(p.lines, line)
		p.mu.Unlock()
		if !serves && strings.Contains(line, readyLine) {
			serves = true
			close(p.ready)
		}
	}
	p.command.Wait() // its exit code is in ProcessState
}

func (p *process) awaitReady() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.exited:
		p.t.Fatalf("%s has ended instead of serving", p.name)
	case <-time.After(patience):
		p.t.Fatalf("%s does not serve within %v", p.name, patience)
	}
}

// awaitLine waits for a line of the log that contains text.
func (p *process) awaitLine(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%q in the log of %s", text, p.name), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Contains(strings.Join(p.lines, "\n"), text)
	})
}

// ballots are those under which the process says that somebody leads.
func (p *process) ballots() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ballots []string
	for _, line := range p.lines {
		var entry struct{ Msg, Ballot string }
		if strings.Contains(line, `"ballot"`) && json.Unmarshal([]byte(line), &entry) == nil && (entry.Msg == "this member leads" || entry.Msg == "following a leader") {
			ballots = append(ballots, entry.Ballot)
		}
	}
	return ballots
}

// kill kills the process, if it still runs, as kill -9 does, and waits for its end.
func (p *process) kill() {
	p.command.Process.Kill() // the only error is that it has ended
	<-p.exited
}

// stop asks the process to end and demands that it does so in good order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("cannot signal %s: %v", p.name, err)
	}
	if code := p.exitCode(); code != 0 {
		p.t.Fatalf("%s, told to stop, ended with exit code %d", p.name, code)
	}
}

// exitCode waits until the process ends by itself.
func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.command.ProcessState.ExitCode()
}

// lastLine is the last thing that the process said beside its log, in which a request may come that ends with it.
func (p *process) lastLine() (last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if !strings.HasPrefix(line, "{") {
			last = line
		}
	}
	return last
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-logTail):], "\n")
}

// newClient returns a client of one member that fails at once while the member is dead, instead of waiting for it, and notices
// within a fraction of a second that it is back. change may make of it a certain user's.
func newClient(t testing.TB, endpoint string, change ...func(*clientv3.Config)) *clientv3.Client {
	t.Helper()
	reconnect := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 200 * time.Millisecond}
	config := clientv3.Config{
		Endpoints: []string{endpoint}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: time.Second}),
			grpc.WithChainUnaryInterceptor(failFast),
		},
	}
	for _, c := range change {
		c(&config)
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// failFast undoes the etcd client's setting that a request waits for a connection.
func failFast(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return invoke(ctx, method, request, reply, conn, append(options, grpc.WaitForReady(false))...)
}

// listenAddress returns an address whose port nobody else takes before a member listens on it, or while that is dead.
func listenAddress(t testing.TB) string {
	t.Helper()
	addresses, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

// insist makes a request, which may be executed twice, until its outcome is known, and returns what refuses it: a write through clientv3 ends without an outcome when the leader changes.
func insist(t testing.TB, ask func(context.Context) error) (refused error) {
	t.Helper()
	eventually(t, "a request has an outcome", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), insistTimeout)
		defer cancel()
		refused = ask(ctx)
		return !isSlow(refused)
	})
	return refused
}

// insistTimeout is longer than a member tries.
const insistTimeout = 10 * time.Second

// put writes a key through the member, perhaps more than once.
func (m *member) put(key, value string) {
	m.t.Helper()
	if err := insist(m.t, func(ctx context.Context) error {
		_, err := m.api.Put(ctx, key, value)
		return err
	}); err != nil {
		m.t.Fatalf("put %s through %s: %v", key, m.name, err)
	}
}

// eventually waits for a condition that nobody announces.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	late := time.After(patience)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
