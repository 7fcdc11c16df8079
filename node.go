package synod

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"synod.dev/synod/internal/quiet"
	"synod.dev/synod/paxos"
	"synod.dev/synod/session"
	"synod.dev/synod/transport"
	"synod.dev/synod/wal"
)

// Node is one member of a cluster: it holds the log, takes part in Paxos and feeds its state machine. Its methods are safe for concurrent use.
type Node struct {
	cfg    Config
	logger *slog.Logger

	machine    StateMachine // Config.Machine, with the sessions before it if there are any
	log        *wal.Log
	vital      wal.Vital
	transport  *transport.Transport
	inbox      *inbox
	pending    *pending
	apply      *applyLoop
	disk       *diskLoop
	loop       *eventLoop
	sections   []*section
	membership *membership
	contacts   *contacts
	files      *snapshotFiles
	sender     *snapshotSender
	receiver   *snapshotReceiver
	mender     *mender
	comparison *comparison

	view    atomic.Pointer[paxos.Status]
	members atomic.Pointer[Membership]
	opened  time.Time
	fresh   atomic.Int64 // nanoseconds from opened to the beginning of the last read that was confirmed
	reading atomic.Int64 // reads that are not released yet, those whose callers have given up included
	syncs   latencies

	slowSyncs, unreadable, unserved quiet.Matter // what may come up again and again

	closing chan struct{}
	done    chan struct{} // closed when the node has failed or is closed
	loops   sync.WaitGroup

	mu       sync.Mutex
	err      error // why it failed
	closed   bool
	released bool
}

// slowSync is how long a group commit takes when an operator should know: elections are decided in less.
const slowSync = time.Second

// Open starts a node. It returns once the log has been recovered and the network is listening; the node then finds the others, and catches up, by itself.
// The errors of a directory that cannot be used (locked, of another member, damaged) and of an address that cannot be listened on come from here.
func Open(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	log, err := wal.Open(cfg.fs, cfg.Dir, wal.Options{Cluster: cfg.Cluster, Node: cfg.ID, Incarnation: newIncarnation(), SegmentBytes: cfg.SegmentBytes})
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, logger: cfg.Logger.With("member", hexID(cfg.ID)), log: log, vital: log.Vital(), machine: cfg.Machine,
		opened: time.Now(), inbox: newInbox(), closing: make(chan struct{}), done: make(chan struct{})}
	if cfg.Sessions && cfg.Machine != nil {
		n.machine = newSessions(cfg.Machine)
	}
	if err := n.open(); err != nil {
		log.Close()
		return nil, err
	}
	return n, nil
}

func (n *Node) open() error {
	n.membership = &membership{fs: n.cfg.fs, dir: n.cfg.Dir, incarnation: n.vital.Incarnation, epoch: n.vital.Epoch, note: n.noteEpoch}
	known, err := n.membership.open()
	if err != nil {
		return err
	}
	if err := n.judgeDiverged(); err != nil {
		return err
	}
	n.contacts = &contacts{n: n, own: known, wiped: map[paxos.NodeID]bool{}}
	applied, err := n.recoverMachine()
	if err != nil {
		return err
	}
	n.sender, n.receiver = newSnapshotSender(n), &snapshotReceiver{n: n, spool: openSpool(n.cfg.fs, filepath.Join(n.cfg.Dir, spoolName), n.logger)}
	n.mender = newMender(n)
	n.pending = newPending(n.cfg.MaxPendingBytes, n.cfg.MaxPending, n.vital.Boot)
	n.apply = newApplyLoop(n.cfg.ID, n.machine, applied, n.pending, n.mender.read, n.Fail)
	n.comparison = newComparison(n.cfg.ID, appliedByAny(n.sections))
	n.apply.compare = n.comparison
	if n.cfg.Events != nil {
		n.apply.report = n.cfg.Events.Applied
	}
	n.apply.missing = n.log.Vital().Trimmed
	n.disk = newDiskLoop(n.log, func(lsn paxos.LSN) { n.inbox.put(paxos.Event{Kind: paxos.Durable, LSN: lsn}) }, n.Fail, n.onSynced)
	loop, err := newEventLoop(n, applied)
	if err != nil {
		return err
	}
	n.loop = loop
	if n.cfg.Listen != "" || n.cfg.Listener != nil {
		if err := n.listen(); err != nil {
			return err
		}
	}
	n.run(n.loop.run)
	n.run(n.prepareSegments)
	n.run((&keeper{n: n, memory: inMemory(n.sections)}).run)
	n.run(n.mender.run)
	n.run((&scrubber{n: n, pace: pace{bytesPerSecond: n.cfg.ScrubRate}}).run)
	if n.transport != nil {
		n.run(n.compare)
	}
	go n.disk.run()
	go n.apply.run()
	if n.transport != nil {
		n.transport.Start()
	}
	return nil
}

// noteEpoch makes durable in the vital state which membership is kept. Until the node is active nobody else writes the log.
func (n *Node) noteEpoch(epoch uint32) error {
	if n.view.Load() == nil {
		return n.log.SetEpoch(epoch)
	}
	return n.disk.call("note the epoch of the membership", func() error { return n.log.SetEpoch(epoch) })
}

func (n *Node) run(fn func()) {
	n.loops.Add(1)
	go func() {
		defer n.loops.Done()
		fn()
	}()
}

func (n *Node) listen() error {
	listener, err := n.cfg.Listener, error(nil)
	if listener == nil {
		listener, err = net.Listen("tcp", n.cfg.Listen)
	}
	if err != nil {
		return fmt.Errorf("synod: cannot listen for peers on %s: %w", n.cfg.Listen, err)
	}
	tc := transport.Config{
		Self:     transport.Identity{Cluster: n.cfg.Cluster, Node: uint64(n.cfg.ID), Incarnation: uint64(n.vital.Incarnation)},
		Greeting: n.contacts.greeting, Peers: n.contacts.all(),
		Listener: listener, TLS: n.cfg.TLS, Handler: &network{n: n}, Logger: n.logger,
	}
	if n.transport, err = transport.New(tc); err != nil {
		listener.Close()
		return fmt.Errorf("synod: %w", err)
	}
	return nil
}

// prepareSegments makes the log's next segment ready ahead of time, so that no write waits for it.
func (n *Node) prepareSegments() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := n.log.PrepareNext(); err != nil {
			n.Fail(fmt.Errorf("cannot write the log: %w", err))
			return
		}
		select {
		case <-ticker.C:
		case <-n.closing:
			return
		case <-n.done:
			return
		}
	}
}

func newIncarnation() paxos.Incarnation {
	var b [8]byte
	rand.Read(b[:])
	return paxos.Incarnation(binary.LittleEndian.Uint64(b[:]) | 1) // never 0
}

// Propose puts a command into the log and returns what the state machine of this node returned for it. The node keeps data; it must not be changed afterwards.
//
// If the error is ErrUnknown the command may have happened, or may yet. With any other error it did not and never will: ErrNoLeader, ErrOverloaded, ErrTooLarge, ErrRemoved, ErrClosed,
// ErrFailed. While there is no leader it waits for one until the context ends; give it a deadline.
func (n *Node) Propose(ctx context.Context, data []byte) (any, error) {
	return n.ProposeFrom(ctx, 0, data)
}

// ProposeFrom is Propose on behalf of a source, a client or tenant for instance: while the cluster is saturated, each source gets an equal share.
func (n *Node) ProposeFrom(ctx context.Context, source uint64, data []byte) (any, error) {
	return n.propose(ctx, source, nil, data)
}

func (n *Node) propose(ctx context.Context, source uint64, h *session.Header, data []byte) (any, error) {
	if len(data) > n.cfg.MaxCommandBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrTooLarge, len(data), n.cfg.MaxCommandBytes)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("synod: %w: the command did not happen", err)
	}
	if n.Membership().Removed {
		return nil, ErrRemoved
	}
	w, err := n.pending.add(source, h, data)
	if err != nil {
		return nil, err
	}
	n.inbox.put(paxos.Event{Kind: paxos.Propose, Proposal: n.proposal(w)})
	return n.pending.wait(ctx, w)
}

// proposal puts a command into its envelope.
func (n *Node) proposal(w *waiter) paxos.Proposal {
	e := Envelope{Origin: n.cfg.ID, Number: w.number, Time: time.Now().UnixNano(), Source: w.source, Session: w.session, Data: w.data}
	return paxos.Proposal{Source: w.source, ID: w.number, Data: e.encode()}
}

// Read returns once the state machine of this node reflects every command that was acknowledged anywhere before the call. What is read from the machine after that
// is linearizable. The error is ErrReadTimeout if the context ends first, ErrOverloaded if Config.MaxPending reads wait already, ErrNoMachine, ErrRemoved, ErrClosed or ErrFailed.
func (n *Node) Read(ctx context.Context) error {
	if n.machine == nil {
		return ErrNoMachine
	}
	began := time.Since(n.opened)
	err := n.confirm(ctx)
	for last := n.fresh.Load(); err == nil && int64(began) > last && !n.fresh.CompareAndSwap(last, int64(began)); {
		last = n.fresh.Load()
	}
	return err
}

// ReadStale is Read for whoever can do with less: it returns once the machine reflects every command that was acknowledged anywhere more than age before the call. As long as a Read, or another
// ReadStale, of this node has begun within that time it asks nobody. No clocks are compared: age is measured by this node's alone.
func (n *Node) ReadStale(ctx context.Context, age time.Duration) error {
	select {
	case <-n.done:
		return n.ended()
	default:
	}
	if last := n.fresh.Load(); last > 0 && time.Since(n.opened)-time.Duration(last) <= age {
		return nil
	}
	return n.Read(ctx)
}

// confirm has a quorum confirm that this node is up to date, and waits until it is.
func (n *Node) confirm(ctx context.Context) error {
	select {
	case <-n.done:
		return n.ended()
	default:
	}
	if n.Membership().Removed {
		return ErrRemoved
	}
	if n.reading.Add(1) > int64(n.cfg.MaxPending) {
		n.reading.Add(-1)
		return ErrOverloaded
	}
	w := readWaiters.Get().(*readWaiter)
	w.reading = &n.reading
	n.inbox.putRead(w)
	select {
	case err := <-w.released:
		readWaiters.Put(w)
		return err
	case <-ctx.Done():
		return ErrReadTimeout
	case <-n.done:
		return n.ended()
	}
}

// readWaiter is one call of Read.
type readWaiter struct {
	released chan error // capacity 1
	reading  *atomic.Int64
}

var readWaiters = sync.Pool{New: func() any { return &readWaiter{released: make(chan error, 1)} }}

func (w *readWaiter) release(err error) {
	w.reading.Add(-1)
	w.released <- err
}

// Status returns what the node knows. It is cheap, and at most one tick old.
func (n *Node) Status() Status {
	s := Status{ID: n.cfg.ID, Cluster: n.cfg.Cluster, Incarnation: n.vital.Incarnation, Promised: n.vital.Promised,
		Applied: n.apply.appliedSlot(), Trimmed: n.log.Vital().Trimmed, Transfer: n.receiver.progress.Load(), Durable: n.log.Durable(), Pending: n.pending.count(), Sync: n.syncs.summary()}
	if n.machine == nil {
		s.Applied = 0
	}
	view := n.view.Load()
	if view != nil {
		s.Released = view.Released
		s.Leader, s.Ballot, s.Promised, s.Chosen = view.Leader, view.Ballot, view.Promised, view.Chosen
	}
	for _, m := range n.Members() {
		ms := MemberStatus{Member: m, Self: m.ID == n.cfg.ID, Leader: m.ID == s.Leader}
		roles := m.Roles
		if view != nil {
			i := slices.IndexFunc(view.Peers, func(p paxos.PeerStatus) bool { return p.ID == m.ID })
			var p paxos.PeerStatus // of nobody, if it has been removed
			if i >= 0 {
				p = view.Peers[i]
			}
			roles = p.Roles
			ms.Connected, ms.Chosen = p.Alive, p.Chosen
			ms.Lag = s.Chosen - min(p.Chosen, s.Chosen)
		}
		ms.Proposer, ms.Acceptor, ms.Learner = roles&paxos.Proposer != 0, roles&paxos.Acceptor != 0, roles&paxos.Learner != 0
		s.Members = append(s.Members, ms)
	}
	n.countTraffic(s.Members)
	return s
}

// Leader returns whom this node follows and at which ballot; 0 while there is none. It is cheap enough for every request.
func (n *Node) Leader() (paxos.NodeID, paxos.Ballot) {
	if view := n.view.Load(); view != nil {
		return view.Leader, view.Ballot
	}
	return 0, paxos.Ballot{}
}

// Members returns the members of the latest configuration that this node knows; before the cluster is founded, those of Config. A member is known by name if Config lists it.
func (n *Node) Members() []Member {
	latest := n.Membership().Latest
	if latest == nil {
		return slices.Clone(n.cfg.Members)
	}
	members := make([]Member, len(latest.Members))
	for i, m := range latest.Members {
		members[i] = Member{ID: m.ID, Address: m.Address, Roles: m.Roles}
		if k := slices.IndexFunc(n.cfg.Members, func(listed Member) bool { return listed.ID == m.ID }); k >= 0 {
			members[i].Name = n.cfg.Members[k].Name
		}
	}
	return members
}

// Done is closed when the node has ended: closed, or failed for good. Err says which.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node failed, or nil.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Fail ends the node for good, because what it stands on cannot be trusted any more. Nothing is acknowledged after. Close is still to be called. Only the first call counts.
func (n *Node) Fail(err error) {
	n.mu.Lock()
	first := n.err == nil && !n.closed
	if first {
		n.err = err
	}
	n.mu.Unlock()
	if !first {
		return
	}
	if !errors.Is(err, ErrRemoved) { // which has been told, and nothing is wrong
		n.logger.Error("this member has stopped", "error", err)
	}
	n.end(fmt.Errorf("%w: %w", ErrFailed, err))
	if n.cfg.Events != nil && n.cfg.Events.Failed != nil {
		n.cfg.Events.Failed(err)
	}
}

// end answers everybody who waits.
func (n *Node) end(refusal error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.released {
		n.released = true
		close(n.done)
		n.inbox.close()
		n.pending.end(refusal)
	}
}

func (n *Node) ended() error {
	if err := n.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return ErrClosed
}

// Close ends the node: it refuses new commands, writes what is queued for the log, and returns when all its goroutines have ended. Commands under way get ErrUnknown. The state machine stays its
// owner's to close, after this. To close it again does nothing.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.end(ErrClosed)
	close(n.closing)
	n.loops.Wait()
	if n.transport != nil {
		n.transport.Close()
	}
	n.disk.close()
	n.apply.close()
	err := n.log.Close()
	if errors.Is(err, wal.ErrFailed) {
		err = nil // Err has said so
	}
	return err
}

func (n *Node) onSynced(done SyncDone) {
	n.syncs.add(done.Duration)
	if done.Duration >= slowSync {
		if muted, ok := n.slowSyncs.May(time.Now()); ok {
			n.logger.Warn("the disk is slow: writing to the log took long; see to the disk, or to what else uses it", "took", done.Duration.Round(time.Millisecond), "bytes", done.Bytes, "muted", muted)
		}
	}
	if n.cfg.Events != nil && n.cfg.Events.Synced != nil {
		n.cfg.Events.Synced(done)
	}
}
