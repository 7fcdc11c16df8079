package synod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
)

// stage is a gallery with sessions, whose members come and go; door i leads to whichever node member i is at the moment.
type stage struct {
	*gallery
	mu sync.RWMutex // of nodes

	copies       sync.WaitGroup // of commands that come late
	lost, copied atomic.Int64   // answers and commands
}

// door is a way to a member on which answers are lost, and commands come twice.
type door struct {
	s *stage
	i int
}

func (d door) ProposeInSession(ctx context.Context, c SessionCommand) ([]byte, error) {
	result, err := d.propose(ctx, c)
	if c.Kind == session.Execute && rand.IntN(5) == 0 {
		d.s.lost.Add(1)
		result, err = nil, errors.New("connection reset")
	}
	if c.Kind == session.Execute && rand.IntN(5) == 0 {
		d.s.copied.Add(1)
		d.s.copies.Go(func() {
			ctx, cancel := context.WithTimeout(d.s.ctx, time.Second)
			defer cancel()
			d.propose(ctx, c)
		})
	}
	return result, err
}

func (d door) propose(ctx context.Context, c SessionCommand) ([]byte, error) {
	d.s.mu.RLock()
	node := d.s.nodes[d.i]
	d.s.mu.RUnlock()
	if node == nil {
		return nil, ErrNoLeader // as if nobody could be reached
	}
	return node.ProposeInSession(ctx, c)
}

func newStage(t *testing.T, kind string, n int, disks map[int]disk.FS) *stage {
	s := &stage{gallery: &gallery{t: t, kind: kind, ctx: within(t, 90*time.Second), photos: make([]map[byte]*photos, n), installed: make(chan Installed, 1000), disks: disks}}
	s.cluster = newClusterOf(t, n, func(i int, cfg *Config) {
		s.configure(i, cfg)
		cfg.Sessions = true
	})
	return s
}

// servers are the doors of all members, beginning with one.
func (s *stage) servers(first int) (all []SessionServer) {
	for i := range s.nodes {
		all = append(all, door{s, (first + i) % len(s.nodes)})
	}
	return all
}

func (s *stage) open(first int) *Session {
	opened, err := OpenSession(s.ctx, time.Hour, s.servers(first)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return opened
}

// execute has a member execute a command, and asks again as long as the outcome is unknown: the leader may change at any time.
func (s *stage) execute(i int, c SessionCommand) (result []byte, err error) {
	for {
		if result, err = s.nodes[i].ProposeInSession(s.ctx, c); !errors.Is(err, ErrUnknown) || s.ctx.Err() != nil {
			return result, err
		}
	}
}

// restart ends a member, after which its disk is as a power cut leaves it, and begins it again.
func (s *stage) restart(i int, meanwhile func()) {
	s.mu.Lock()
	node := s.nodes[i]
	s.nodes[i] = nil
	s.mu.Unlock()
	if err := node.Close(); err != nil {
		s.t.Error(err)
	}
	s.disks[i] = s.disks[i].(*disk.Mem).Crash(func(n int) int { return rand.IntN(n + 1) }) // not before: what it said after that would not be on its disk
	meanwhile()
	s.mu.Lock()
	s.cluster.open(i)
	s.mu.Unlock()
}

// Every command of a session is executed once, on every member, while members are killed, links break, logs are trimmed and snapshots sent; and every client gets the result of that execution.
func TestCommandsOfSessionsAreExecutedOnceWhateverFails(t *testing.T) {
	t.Parallel()
	const clients, rounds = 6, 20
	for _, kind := range kindsToTry() {
		t.Run(kind, func(t *testing.T) {
			disks := map[int]disk.FS{}
			for i := range 3 {
				disks[i] = disk.NewMem()
			}
			s := newStage(t, kind, 3, disks)
			seen, proposed := map[string]bool{}, uint64(0)
			var mu sync.Mutex
			var working sync.WaitGroup
			stop := make(chan struct{})
			for i := range clients {
				client := s.open(i)
				working.Go(func() {
					for n := 0; !isClosed(stop); n++ {
						command := s.photo(n*clients + i)
						result, err := client.Propose(s.ctx, command)
						if err != nil && !errors.Is(err, ErrResultForgotten) {
							t.Errorf("client %d: %v", i, err)
							return
						}
						mu.Lock()
						proposed++
						if answer := fmt.Sprintf("%d %s", machineOf(kind, command), result); err == nil && seen[answer] {
							t.Errorf("two commands were answered with %q", answer)
						} else if err == nil {
							seen[answer] = true
						}
						mu.Unlock()
					}
				})
			}
			for s.fail(rounds); (s.lost.Load() < 50 || s.copied.Load() < 50) && s.ctx.Err() == nil; { // a busy machine does less in a round
				s.fail(1)
			}
			close(stop)
			working.Wait()
			s.copies.Wait()

			for i := range s.nodes {
				s.agree(i)
			}
			total := uint64(0)
			for _, p := range s.photos[0] {
				total += p.taken()
			}
			if total != proposed {
				t.Errorf("%d commands were executed; %d were proposed", total, proposed)
			}
			if len(seen) < int(proposed)*9/10 {
				t.Errorf("only %d of %d results came back", len(seen), proposed)
			}
			t.Logf("%d commands, %d answers lost, %d commands that came late", proposed, s.lost.Load(), s.copied.Load())
			if s.lost.Load() < 50 || s.copied.Load() < 50 {
				t.Error("the test tests little")
			}
		})
	}
}

// machineOf says which machine a command is for.
func machineOf(kind string, command []byte) int {
	if kind == "several" {
		return int(command[0])
	}
	return 0
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fail breaks links and kills members, one at a time.
func (s *stage) fail(rounds int) {
	breaks := time.NewTicker(60 * time.Millisecond)
	defer breaks.Stop()
	pass := func(n int) {
		for range n {
			<-breaks.C
		}
	}
	for round := range rounds {
		pass(1)
		s.links[rand.IntN(len(s.links))].cut(0.5)
		if round%4 == 3 {
			s.restart(rand.IntN(len(s.nodes)), func() { pass(3) })
			pass(8)
		}
	}
}

// The same command, proposed by hand through every member, has one result; after a restart of all, and from snapshots, too.
func TestARetryThroughAnyMemberAtAnyTimeHasTheFirstResult(t *testing.T) {
	t.Parallel()
	disks := map[int]disk.FS{}
	for i := range 3 {
		disks[i] = disk.NewMem()
	}
	s := newStage(t, "in memory", 3, disks)
	client := s.open(0)
	command := SessionCommand{Header: session.Header{Kind: session.Execute, Session: client.ID(), Sequence: 1}, Data: s.photo(0)}
	first, err := s.execute(0, command)
	if err != nil {
		t.Fatal(err)
	}
	demand := func(when string) {
		t.Helper()
		for i := range s.nodes {
			again, err := s.execute(i, command)
			if err != nil || !bytes.Equal(again, first) {
				t.Errorf("%s, node %d: %q, %v; the first result is %q", when, i+1, again, err, first)
			}
		}
	}
	demand("at once")
	unknown := s.take(s.nodes[0], 20*galleryLog) // until it is in no log any more
	for i := range s.nodes {
		s.awaitTrimmed(s.nodes[i], 10)
	}
	demand("from the table")
	for i := range s.nodes {
		s.restart(i, func() {})
	}
	demand("after a restart of all, from snapshots")
	const proposed = 1 + 20*galleryLog/photoBytes
	if taken := int(s.photos[0][mixedAlbum].taken()); taken > proposed || taken < proposed-unknown {
		t.Errorf("%d commands were executed of %d, and the outcome of %d was unknown", taken, proposed, unknown)
	}
}

// A member that was away gets the table with the machine's snapshot.
func TestAMemberThatComesBackBySnapshotKnowsWhatWasExecuted(t *testing.T) {
	t.Parallel()
	for _, kind := range galleryKinds {
		t.Run(kind, func(t *testing.T) {
			s := newStage(t, kind, 3, nil)
			s.take(s.nodes[0], 20*photoBytes)
			s.agree(2)
			s.close(2)
			client := s.open(0)
			command := SessionCommand{Header: session.Header{Kind: session.Execute, Session: client.ID(), Sequence: 1}, Data: s.photo(0)}
			first, err := s.execute(0, command)
			if err != nil {
				t.Fatal(err)
			}
			executed := s.nodes[0].Status().Applied
			s.take(s.nodes[0], 20*galleryLog)
			for i := range 2 {
				s.awaitTrimmed(s.nodes[i], executed)
			}
			s.cluster.open(2)
			s.agree(2)
			<-s.installed
			if again, err := s.execute(2, command); err != nil || !bytes.Equal(again, first) {
				t.Errorf("%q, %v; the first result is %q", again, err, first)
			}
			s.agree(2)
		})
	}
}

// A machine with a disk may be ahead of the table after a crash. Then the table takes note of what it is not shown again.
func TestAfterACrashTheTableKnowsWhatTheMachineHasExecutedThoughNotItsResult(t *testing.T) {
	mem := disk.NewMem()
	begin := func(files disk.FS) *Node {
		machine, _ := hang(t, "with a disk", files, "/log")
		node, err := Open(Config{ID: 1, Members: []Member{{ID: 1}}, Dir: "/log", Machine: machine, Sessions: true, Logger: slog.New(slog.DiscardHandler), SegmentBytes: 1 << 20, fs: files})
		if err != nil {
			t.Fatal(err)
		}
		return node
	}
	ctx := within(t, 20*time.Second)
	node := begin(mem)
	client, err := OpenSession(ctx, time.Hour, node)
	if err != nil {
		t.Fatal(err)
	}
	command := SessionCommand{Header: session.Header{Kind: session.Execute, Session: client.ID(), Sequence: 1}, Data: []byte("once")}
	if _, err := node.ProposeInSession(ctx, command); err != nil {
		t.Fatal(err)
	}
	node.apply.do(node.cfg.Machine.(*cabinet).Flush)
	image := mem.Crash(disk.DropAll)
	node.Close()
	again := begin(image)
	defer again.Close()
	if result, err := again.ProposeInSession(ctx, command); !errors.Is(err, ErrResultForgotten) {
		t.Errorf("%q, %v", result, err)
	}
	if taken := again.cfg.Machine.(*cabinet).taken(); taken != 1 {
		t.Errorf("%d commands were executed", taken)
	}
}

// A table that is ahead of its machine would call repeated what the machine never saw.
func TestASnapshotOfTheTableWaitsForTheMachinesDisk(t *testing.T) {
	mem := disk.NewMem()
	machine, err := openCabinet(mem, "/log/cabinet")
	if err != nil {
		t.Fatal(err)
	}
	node, err := Open(Config{ID: 1, Members: []Member{{ID: 1}}, Dir: "/log", Machine: machine, Sessions: true, Logger: slog.New(slog.DiscardHandler), SegmentBytes: 16 << 10, LogBytes: 1 << 20, SnapshotBytes: 16 << 10, fs: mem})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 30*time.Second)
	client, err := OpenSession(ctx, time.Hour, node)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[paxos.Slot]bool{}
	for len(seen) < 3 {
		if _, err := client.Propose(ctx, make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
		slot, _ := node.files.latest()
		durable, _ := machine.Durable()
		if slot > durable {
			t.Fatalf("the table is kept as of slot %d, the machine as of slot %d", slot, durable)
		}
		if slot > 0 {
			seen[slot] = true
		}
	}
	node.Close()
	if err := mem.Remove("/log/cabinet/photos"); err != nil {
		t.Fatal(err)
	}
	lost, err := openCabinet(mem, "/log/cabinet")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(Config{ID: 1, Members: []Member{{ID: 1}}, Dir: "/log", Machine: lost, Sessions: true, Logger: slog.New(slog.DiscardHandler), SegmentBytes: 16 << 10, fs: mem})
	if err == nil || !strings.Contains(err.Error(), "table of sessions") {
		t.Errorf("with the machine lost it opens, or says %v", err)
		closeIf(again)
	}
}

func TestACommandAfterTheSessionHasEndedIsRefused(t *testing.T) {
	s := newStage(t, "in memory", 1, nil)
	client, err := OpenSession(s.ctx, time.Hour, s.nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Propose(s.ctx, s.photo(0)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // who closes it again is told nothing else
		if err := client.Close(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Propose(s.ctx, s.photo(1)); !errors.Is(err, ErrSessionExpired) || errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if taken := s.photos[0][mixedAlbum].taken(); taken != 1 {
		t.Errorf("%d commands were executed", taken)
	}
}

// The time by which a session ends is that of commands in the log, and of no member's clock.
func TestASessionEndsByTheTimeInTheLog(t *testing.T) {
	const ttl = time.Minute
	at := func(slot paxos.Slot, clock time.Duration, h *session.Header) Command {
		return Command{Slot: slot, Time: int64(clock), session: h}
	}
	execute := func(sequence uint64) *session.Header {
		return &session.Header{Kind: session.Execute, Session: 1, Sequence: sequence}
	}
	machine := &album{}
	s := newSessions(machine)
	results := s.Apply([]Command{
		at(1, time.Hour, &session.Header{Kind: session.Open, TTL: ttl}),
		at(2, time.Hour+ttl-1, execute(1)),
		at(3, time.Second, execute(2)), // of a member whose clock is behind
		at(4, time.Hour+2*ttl-1, nil),  // of no session
		at(5, time.Second, execute(3)),
	})
	for i, want := range []error{nil, nil, nil, nil, ErrSessionExpired} {
		if outcome, ok := results[i].(sessionOutcome); ok && !errors.Is(outcome.err, want) {
			t.Errorf("command %d: %v; want %v", i+1, outcome.err, want)
		}
	}
	if machine.taken() != 3 {
		t.Errorf("%d commands were executed", machine.taken())
	}
}

func TestWhatIsNoCommandOfASessionIsRefusedBeforeTheLog(t *testing.T) {
	s := newStage(t, "in memory", 1, nil)
	for _, h := range []session.Header{{}, {Kind: session.Open}, {Kind: session.Execute, Session: 1}, {Kind: session.Close + 1}} {
		if _, err := s.nodes[0].ProposeInSession(s.ctx, SessionCommand{Header: h}); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%+v: %v", h, err)
		}
	}
	c := newCluster(t, 1)
	if _, err := OpenSession(s.ctx, time.Minute, c.nodes[0]); !errors.Is(err, ErrNoSessions) {
		t.Errorf("without sessions: %v", err)
	}
	several, err := NewMachines(map[byte]StateMachine{sessionsSection: &album{}})
	if err != nil {
		t.Fatal(err)
	}
	node, err := Open(Config{ID: 1, Members: []Member{{ID: 1}}, Dir: t.TempDir(), Machine: several, Sessions: true, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Error("a machine with the table's number is taken")
		closeIf(node)
	}
}

// A member that keeps no sessions cannot know what to execute.
func TestAMemberWithoutSessionsStopsAtACommandOfOne(t *testing.T) {
	dir := t.TempDir()
	config := Config{ID: 1, Members: []Member{{ID: 1}}, Dir: dir, Machine: &album{}, Sessions: true, Logger: slog.New(slog.DiscardHandler)}
	node, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 20*time.Second)
	if _, err := OpenSession(ctx, time.Minute, node); err != nil {
		t.Fatal(err)
	}
	node.Close()
	config.Machine, config.Sessions = &album{}, false
	if node, err = Open(config); err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	select {
	case <-node.Done():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	if err := node.Err(); err == nil || !strings.Contains(err.Error(), "Config.Sessions") {
		t.Errorf("it says %v", err)
	}
}

// script is a server that answers as it is told to.
type script func(attempt int, c SessionCommand) ([]byte, error)

// play runs a client against a server in fake time.
func play(t *testing.T, answer script, use func(ctx context.Context, s *Session)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := OpenSession(ctx, time.Hour, &scripted{answer: answer})
		if err != nil {
			t.Fatal(err)
		}
		use(ctx, s)
	})
}

type scripted struct {
	mu       sync.Mutex
	attempts int
	answer   script
}

func (s *scripted) ProposeInSession(_ context.Context, c SessionCommand) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Kind == session.Open {
		return make([]byte, 8), nil
	}
	s.attempts++
	return s.answer(s.attempts, c)
}

func TestAClientTriesUntilTheOutcomeIsKnownAndSaysWhatItIs(t *testing.T) {
	network := errors.New("connection reset")
	for name, test := range map[string]struct {
		answers []error // the last one for ever
		want    []error
		not     error
	}{
		"at once":                     {answers: []error{nil}},
		"after doubt":                 {answers: []error{ErrUnknown, network, ErrOverloaded, ErrNoLeader, nil}},
		"expired at once":             {answers: []error{ErrSessionExpired}, want: []error{ErrSessionExpired}, not: ErrUnknown},
		"expired after doubt":         {answers: []error{ErrUnknown, ErrSessionExpired}, want: []error{ErrSessionExpired, ErrUnknown}},
		"expired after a refusal":     {answers: []error{ErrNoLeader, ErrSessionExpired}, want: []error{ErrSessionExpired}, not: ErrUnknown},
		"forgotten after doubt":       {answers: []error{network, ErrResultForgotten}, want: []error{ErrResultForgotten}, not: ErrUnknown},
		"too large":                   {answers: []error{ErrTooLarge}, want: []error{ErrTooLarge}, not: ErrUnknown},
		"the only server has ended":   {answers: []error{ErrClosed}, want: []error{ErrClosed}, not: ErrUnknown},
		"ended after doubt":           {answers: []error{ErrUnknown, ErrFailed}, want: []error{ErrFailed, ErrUnknown}},
		"overloaded until time is up": {answers: []error{ErrOverloaded}, want: []error{ErrOverloaded}, not: ErrUnknown},
		"doubtful until time is up":   {answers: []error{ErrUnknown, ErrOverloaded}, want: []error{ErrUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(attempt int, _ SessionCommand) ([]byte, error) {
				err := test.answers[min(attempt, len(test.answers))-1]
				return []byte("result"), err
			}
			play(t, answer, func(ctx context.Context, s *Session) {
				result, err := s.Propose(ctx, nil)
				if len(test.want) == 0 && (err != nil || string(result) != "result") {
					t.Errorf("%q, %v", result, err)
				}
				for _, want := range test.want {
					if !errors.Is(err, want) {
						t.Errorf("%v; want %v", err, want)
					}
				}
				if test.not != nil && errors.Is(err, test.not) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// What is still open is never acknowledged, and what has ended is with the next command.
func TestAClientAcknowledgesWhatItKnowsAndNoMore(t *testing.T) {
	release := make(chan struct{})
	var got []session.Header
	server := func(_ int, c SessionCommand) ([]byte, error) {
		got = append(got, c.Header)
		return nil, nil
	}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		s, err := OpenSession(t.Context(), time.Hour, &slowFirst{scripted{answer: server}, release})
		if err != nil {
			t.Fatal(err)
		}
		var first sync.WaitGroup
		first.Go(func() { s.Propose(t.Context(), nil) })
		synctest.Wait()
		for range session.OutstandingMax - 1 {
			if _, err := s.Propose(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		last := got[len(got)-1]
		if last.Sequence != session.OutstandingMax || last.Acknowledged != 0 {
			t.Errorf("while the first command is open, the last one is %+v", last)
		}
		var blocked sync.WaitGroup
		blocked.Go(func() { s.Propose(t.Context(), nil) }) // the table may have no room for one more
		synctest.Wait()
		if len(got) != session.OutstandingMax-1 {
			t.Errorf("%d commands were sent while the first one is open", len(got))
		}
		close(release)
		first.Wait()
		blocked.Wait()
		if last := got[len(got)-1]; last.Sequence != session.OutstandingMax+1 || last.Acknowledged != session.OutstandingMax {
			t.Errorf("after that, the last one is %+v", last)
		}
	})
}

// slowFirst answers the first command when it is released.
type slowFirst struct {
	scripted
	release chan struct{}
}

func (s *slowFirst) ProposeInSession(ctx context.Context, c SessionCommand) ([]byte, error) {
	if c.Sequence == 1 {
		select {
		case <-s.release:
		case <-ctx.Done():
			return nil, ErrUnknown
		}
	}
	return s.scripted.ProposeInSession(ctx, c)
}

// notebook is a machine that knows which commands it has executed. It may have a disk, which holds an earlier state of it.
type notebook struct {
	applied paxos.Slot
	written []string
}

func (n *notebook) Applied() paxos.Slot { return n.applied }

func (n *notebook) Apply(commands []Command) []any {
	results := make([]any, len(commands))
	for i, c := range commands {
		n.applied = c.Slot
		n.written = append(n.written, string(c.Data))
		results[i] = fmt.Sprint(len(n.written))
	}
	return results
}

func (n *notebook) copied() *notebook { return &notebook{n.applied, slices.Clone(n.written)} }

// restarter is a member that holds nothing but its sessions and what its disk has of them.
type restarter struct {
	machine, onDisk *notebook
	sessions        *sessions
	table           []byte // on disk
	tableSlot       paxos.Slot
	slot            paxos.Slot // applied
}

// restart goes on from what is on disk. The machine's is never behind the table's.
func (r *restarter) restart() {
	r.machine = r.onDisk.copied()
	r.sessions = newSessions(r.machine)
	if r.table != nil {
		if err := r.sessions.Restore(bytes.NewReader(r.table)); err != nil {
			panic(err)
		}
		r.sessions.restored = r.tableSlot
	}
	r.slot = r.tableSlot
}

func TestMembersThatRestartWhenTheyLikeExecuteTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		want := executedOnce(log)
		for member := range 2 {
			r := &restarter{onDisk: &notebook{}}
			r.restart()
			for restarts := 0; int(r.slot) < len(log); {
				upto := rapid.IntRange(int(r.slot)+1, len(log)).Draw(t, "upto")
				r.sessions.Apply(log[r.slot:upto])
				r.slot = paxos.Slot(upto)
				switch action := rapid.IntRange(0, 5).Draw(t, "action"); {
				case action == 0: // the machine's disk catches up
					r.onDisk = r.machine.copied()
				case action == 1: // and then the table's
					r.onDisk = r.machine.copied()
					r.table, r.tableSlot = r.sessions.table.Append(nil), r.slot
				case action == 2 && restarts < 5:
					restarts++
					r.restart()
				}
			}
			if !slices.Equal(r.machine.written, want) {
				t.Fatalf("member %d has executed %q; once in the order of the log is %q", member, r.machine.written, want)
			}
		}
	})
}

// drawLog draws a log of slots with a command each, of two sessions and of none, with retries.
func drawLog(t *rapid.T) (log []Command) {
	log = append(log, Command{Slot: 1, session: &session.Header{Kind: session.Open, TTL: time.Hour}}, Command{Slot: 2, session: &session.Header{Kind: session.Open, TTL: time.Hour}})
	for slot := paxos.Slot(3); slot < paxos.Slot(rapid.IntRange(4, 40).Draw(t, "slots")); slot++ {
		id, sequence := rapid.Uint64Range(0, 2).Draw(t, "session"), rapid.Uint64Range(1, 6).Draw(t, "sequence")
		c := Command{Slot: slot, Data: fmt.Appendf(nil, "%d.%d", id, sequence)}
		if id > 0 {
			c.session = &session.Header{Kind: session.Execute, Session: session.ID(id), Sequence: sequence}
		}
		log = append(log, c)
	}
	return log
}

func executedOnce(log []Command) (data []string) {
	for _, c := range log {
		switch {
		case c.session == nil:
			data = append(data, string(c.Data))
		case c.session.Kind == session.Execute && !slices.Contains(data, string(c.Data)):
			data = append(data, string(c.Data))
		}
	}
	return data
}
