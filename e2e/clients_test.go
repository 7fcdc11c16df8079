package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"synod.dev/synod/e2e/history"
)

const (
	// clientCount is how many clients ask at the same time: more would make the search for an order of their requests long.
	clientCount = 8
	// clientPace is how often each asks at most.
	clientPace = 15 * time.Millisecond
	// clientTimeout is what each waits for an answer.
	clientTimeout = time.Second
	keyCount      = 5
)

// clients are sequential clients of a cluster, and the history of what they asked and were told.
type clients struct {
	t       testing.TB
	members []*member
	began   time.Time

	stopping chan struct{}
	running  sync.WaitGroup

	mu      sync.Mutex
	ops     []history.Op
	written time.Time // when the last write began that has been acknowledged
}

func startClients(c *cluster, seed uint64) *clients {
	s := &clients{t: c.t, members: c.members, began: time.Now(), stopping: make(chan struct{})}
	for i := range clientCount {
		s.running.Go(func() { s.ask(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	c.t.Cleanup(s.stop)
	return s
}

// stop returns when no client has a request under way. To stop again does nothing.
func (s *clients) stop() {
	select {
	case <-s.stopping:
	default:
		close(s.stopping)
	}
	s.running.Wait()
}

// ask is one client. The first few have one member each and stay with it, so that each is asked whatever happens to the others; the rest go
// to any.
func (s *clients) ask(client int, random *rand.Rand) {
	choose := func() *member { return s.members[random.IntN(len(s.members))] }
	if client < len(s.members) {
		choose = func() *member { return s.members[client] }
	}
	known := map[string]int64{} // the modification revision that it saw last of each key
	ticker := time.NewTicker(clientPace)
	defer ticker.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ticker.C:
		case <-s.stopping:
			return
		}
		op := history.Op{Kind: drawKind(random), Key: fmt.Sprintf("key%d", random.IntN(keyCount))}
		switch op.Kind {
		case history.Put:
			op.Value = fmt.Sprintf("%d.%d", client, turn)
		case history.Swap:
			op.Value, op.Expect = fmt.Sprintf("%d.%d", client, turn), known[op.Key]
		}
		op = s.request(choose(), op)
		if op.Outcome == history.Acknowledged && op.Kind != history.Put {
			known[op.Key] = op.Seen.ModRevision
		}
	}
}

func drawKind(random *rand.Rand) history.Kind {
	switch n := random.IntN(100); {
	case n < 35:
		return history.Put
	case n < 55:
		return history.Swap
	case n < 65:
		return history.Delete
	case n < 90:
		return history.Get
	}
	return history.LocalGet
}

// request asks one member, and notes what was asked and told.
func (s *clients) request(m *member, op history.Op) history.Op {
	return s.requestWithin(clientTimeout, m, op)
}

func (s *clients) requestWithin(timeout time.Duration, m *member, op history.Op) history.Op {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	op.Through = m.name
	began := time.Now()
	op.Call = began.Sub(s.began)
	err := perform(ctx, m.api, &op)
	op.Return = time.Since(s.began)
	switch outcomeOf(err) {
	case acknowledged:
		op.Outcome = history.Acknowledged
	case refused:
		op.Outcome = history.Refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, op)
	if op.Outcome == history.Acknowledged && op.Kind == history.Put && began.After(s.written) {
		s.written = began
	}
	return op
}

// perform makes the request and puts the answer into op.
func perform(ctx context.Context, api *clientv3.Client, op *history.Op) error {
	switch op.Kind {
	case history.Put:
		resp, err := api.Put(ctx, op.Key, op.Value)
		if err != nil {
			return err
		}
		op.Revision = resp.Header.Revision
	case history.Swap:
		resp, err := api.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(op.Key), "=", op.Expect)).
			Then(clientv3.OpPut(op.Key, op.Value)).Else(clientv3.OpGet(op.Key)).Commit()
		if err != nil {
			return err
		}
		op.Revision, op.Done = resp.Header.Revision, resp.Succeeded
		if !op.Done {
			op.Seen = itemOf(resp.Responses[0].GetResponseRange().Kvs)
		}
	case history.Delete:
		resp, err := api.Delete(ctx, op.Key)
		if err != nil {
			return err
		}
		op.Revision, op.Done = resp.Header.Revision, resp.Deleted > 0
	case history.Get, history.LocalGet:
		var options []clientv3.OpOption
		if op.Kind == history.LocalGet {
			options = append(options, clientv3.WithSerializable())
		}
		resp, err := api.Get(ctx, op.Key, options...)
		if err != nil {
			return err
		}
		op.Revision, op.Seen = resp.Header.Revision, itemOf(resp.Kvs)
	}
	return nil
}

func itemOf(kvs []*mvccpb.KeyValue) history.Item {
	if len(kvs) == 0 {
		return history.Item{}
	}
	return history.Item{Value: string(kvs[0].Value), ModRevision: kvs[0].ModRevision, Version: kvs[0].Version}
}

// awaitWrite waits until a write that began after the moment since has been acknowledged, and returns how long after.
func (s *clients) awaitWrite(since time.Time) time.Duration {
	s.t.Helper()
	eventually(s.t, "an acknowledged write", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.written.After(since)
	})
	return time.Since(since)
}

const (
	// searchLimit is how long Porcupine may take.
	searchLimit = time.Minute
	// errorsShown is how many of the witness' objections are printed: one broken write has many.
	errorsShown = 10
	// proofKey is what is written at the end, not by a client, so that the disks prove what was chosen before.
	proofKey = "proof"
)

// judge stops the clients and has what they were told judged.
func (s *clients) judge(c *cluster) {
	s.t.Helper()
	s.stop()
	s.finish(c)
	log, err := commands(chosenLog(s.t, c))
	if err != nil {
		s.t.Fatal(err)
	}
	began := time.Now()
	for i, err := range history.Check(s.ops, log) {
		if i < errorsShown {
			s.t.Errorf("witness: %v", err)
		}
	}
	witnessed := time.Since(began)
	if err := history.Linearizable(s.ops, log, searchLimit); err != nil {
		s.t.Errorf("Porcupine: %v", err)
	}
	s.t.Logf("judged: %s; the witness took %v, Porcupine %v", s.summary(len(log)), witnessed.Round(time.Millisecond), (time.Since(began) - witnessed).Round(time.Millisecond))
}

// finish demands that the members agree, and lets each answer once more for every key.
func (s *clients) finish(c *cluster) {
	c.agree()
	for _, m := range c.members {
		for i := range keyCount {
			for _, kind := range []history.Kind{history.Get, history.LocalGet} {
				if op := s.requestWithin(patience, m, history.Op{Kind: kind, Key: fmt.Sprintf("key%d", i)}); op.Outcome != history.Acknowledged {
					s.t.Fatalf("%s does not answer after everything was undone", m.name)
				}
			}
		}
	}
	prove(c)
}

// prove makes the disks prove all that was chosen before: that a slot is chosen is said by the records after it.
func prove(c *cluster) {
	c.t.Helper()
	const proofs = 3
	for i := range proofs {
		if err := insist(c.t, func(ctx context.Context) error {
			_, err := c.leader().api.Put(ctx, proofKey, strconv.Itoa(i))
			return err
		}); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (s *clients) summary(commands int) string {
	counts := map[history.Outcome]int{}
	for _, op := range s.ops {
		counts[op.Outcome]++
	}
	if counts[history.Acknowledged] == 0 {
		s.t.Error("nothing was acknowledged, so nothing was checked")
	}
	return fmt.Sprintf("%d requests acknowledged, %d refused, %d unknown, %d commands chosen",
		counts[history.Acknowledged], counts[history.Refused], counts[history.Unknown], commands)
}
