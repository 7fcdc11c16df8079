package kv

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// batchBytes bounds a batch: Apply commits what it has at the first slot that begins beyond it. A slot is never
// cut in two, since the slot is what a store that crashed goes on from.
const batchBytes = 16 << 20

// Apply executes commands; see synod.StateMachine. Each result is a Result. What the commands did is visible to
// readers when Apply returns.
func (s *Store) Apply(commands []synod.Command) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]any, len(commands))
	for done := 0; done < len(commands); {
		n, err := s.applySome(commands[done:], results[done:])
		if err != nil {
			s.fail(err)
		}
		if s.Err() != nil {
			disown(results[done:])
			break
		}
		done += n
	}
	return results
}

// disown answers for commands on a store that has stopped. They are chosen: other replicas execute them, and this one may have. So the answer must not be one that says that they did not happen.
func disown(results []any) {
	for i := range results {
		results[i] = Result{Err: rpctypes.ErrGRPCTimeoutDueToLeaderFail}
	}
}

// applySome executes at least one slot's commands, as many slots as fit one batch, and commits them. It returns how many commands that was.
func (s *Store) applySome(commands []synod.Command, results []any) (int, error) {
	if s.Err() != nil {
		return 0, nil
	}
	w := s.newWriter()
	defer w.discard()
	n := 0
	for ; n < len(commands); n++ {
		c := commands[n]
		if n > 0 && c.Slot != commands[n-1].Slot && w.batch.Len()+w.changeRows.Len() >= batchBytes {
			break
		}
		w.state.applied = c.Slot
		result, err := w.execute(c.Data)
		if err != nil {
			return 0, fmt.Errorf("kv: apply slot %d: %w", c.Slot, err)
		}
		w.digestOutcome(result)
		results[n] = result
	}
	if err := w.commit(); err != nil {
		return 0, fmt.Errorf("kv: apply up to slot %d: %w", w.state.applied, err)
	}
	return n, nil
}

// Advance notes that everything up to slot has been applied; see synod.SlotMarker.
func (s *Store) Advance(slot paxos.Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err() != nil || slot <= s.state.applied {
		return
	}
	next := s.state
	next.applied = slot
	if err := s.db.Set(stateKey, next.encode(), pebble.NoSync); err != nil {
		s.fail(fmt.Errorf("kv: advance to slot %d: %w", slot, err))
		return
	}
	s.state = next
}

// writer executes commands into one batch. Its view is the store as the commands so far have left it.
type writer struct {
	view
	store  *Store
	number uint64              // no other writer of the store has it
	batch  *pebble.Batch       // indexed: commands see what those before have written
	state  state               // what commit will write; the revisions are the view's
	subs   uint32              // changes made by the command that is being executed
	dirty  map[string]struct{} // first keys of the buckets to be written anew
	row    []byte              // scratch
	value  []byte              // scratch

	changeRows *pebble.Batch // the rows of changes, which no command reads, in their order: apart, for such a run goes into Pebble's memtable without a search

	notes  notes  // of what is changed, for the watchers
	counts Counts // of what is executed

	size         int64 // see Store.Size
	leaseClock   time.Duration
	leaseChanges []leased // in the order of the commands; what has ended does not exist
}

// newWriter begins a batch. The caller holds s.mu until it has committed or discarded it.
func (s *Store) newWriter() *writer {
	s.writers++
	b := s.db.NewIndexedBatch()
	return &writer{
		view:  view{reader: b, db: s.db, known: s.db.known, heads: s.db.heads, revision: s.state.revision, compacted: s.state.compacted, census: s.census, auth: s.auth, alarms: s.alarms},
		store: s, number: s.writers, batch: b, changeRows: s.db.NewBatch(), state: s.state, dirty: map[string]struct{}{}, notes: s.hub.notes(), leaseClock: s.leaseClock, size: s.size.Load(),
	}
}

// commit makes the batch, with the state that goes with it, the store's.
func (w *writer) commit() error {
	w.state.revision, w.state.compacted = w.revision, w.compacted
	if err := w.batch.Set(stateKey, w.state.encode(), nil); err != nil {
		return err
	}
	if err := w.batch.Set(sizeKey, encodeSize(w.size), nil); err != nil {
		return err
	}
	if err := w.writeBuckets(); err != nil {
		return err
	}
	if err := w.writeAuth(); err != nil {
		return err
	}
	if err := w.writeLeaseClock(); err != nil {
		return err
	}
	if err := w.view.close(); err != nil {
		return err
	}
	if err := w.changeRows.Apply(w.batch, nil); err != nil {
		return err
	}
	if err := w.changeRows.Commit(pebble.NoSync); err != nil {
		return err
	}
	compacting := w.compacted != w.store.state.compacted
	w.store.state, w.store.census, w.store.auth, w.store.leaseClock = w.state, w.census, w.auth, w.leaseClock
	w.store.alarms = w.alarms
	w.store.size.Store(w.size)
	w.store.expiry.update(w.leaseChanges, w.leaseClock)
	if err := w.store.publish(); err != nil {
		return err
	}
	w.store.counter.add(w.counts)
	w.store.hub.put(w.revision, &w.notes)
	if compacting {
		w.store.sweeper.begin()
	}
	return nil
}

// discard frees what the writer holds. It may follow commit.
func (w *writer) discard() {
	for _, err := range []error{w.view.close(), w.batch.Close(), w.changeRows.Close()} {
		if err != nil {
			w.store.fail(fmt.Errorf("kv: discard batch: %w", err))
		}
	}
}

// execute runs one command. Its error is the store's; a command's own is in the result.
func (w *writer) execute(command []byte) (Result, error) {
	w.subs = 0
	if isUpkeep(command) {
		return w.keepUp(command)
	}
	resp, err := w.executeFor(command)
	switch {
	case err == nil:
		return Result{Response: resp}, nil
	case !isAnswer(err):
		return Result{}, err
	case w.subs != 0:
		return Result{}, fmt.Errorf("a command failed (%w) after %d changes; report this as a bug", err, w.subs)
	}
	return Result{Err: err}, nil
}

// executeFor runs a command if the caller on whose behalf it is may ask for it at this very point of the log, whoever admitted it.
func (w *writer) executeFor(admitted []byte) (proto.Message, error) {
	caller, command, err := Admission(admitted)
	if err != nil {
		return nil, err
	}
	if isToken(command) {
		return w.executeToken(command)
	}
	req, err := decode(command)
	if err != nil {
		return nil, err
	}
	if err := w.admit(caller, req); err != nil {
		return nil, err
	}
	return w.dispatch(req)
}

// dispatch validates again what the API's edge has validated: the log may hold what a careless proposer put there.
// How many operations a txn may have is this process's configuration, and so no concern of the state's.
func (w *writer) dispatch(req proto.Message) (proto.Message, error) {
	switch r := req.(type) {
	case *pb.PutRequest:
		if err := ValidatePut(r); err != nil {
			return nil, err
		}
		if err := w.checkPut(r); err != nil {
			return nil, err
		}
		return answer(w.put(r))
	case *pb.DeleteRangeRequest:
		if err := ValidateDeleteRange(r); err != nil {
			return nil, err
		}
		return answer(w.deleteRange(r))
	case *pb.TxnRequest:
		if err := ValidateTxn(r, noLimit); err != nil {
			return nil, err
		}
		w.counts.Txns++
		return answer(w.txn(context.Background(), r))
	case *pb.CompactionRequest:
		return answer(w.compact(r))
	case *pb.LeaseGrantRequest:
		return answer(w.grant(r))
	case *pb.LeaseRevokeRequest:
		return answer(w.revoke(r))
	}
	if c := authChangeOf(req); c != nil {
		return w.changeAuth(c, req)
	}
	return nil, fmt.Errorf("%T: %w", req, errUnknownKind)
}

// answer keeps a nil pointer from becoming a message that is not nil.
func answer[M proto.Message](resp M, err error) (proto.Message, error) {
	if err != nil {
		return nil, err
	}
	return resp, nil
}
