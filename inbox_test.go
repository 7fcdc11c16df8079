package synod

import (
	"testing"
	"testing/synctest"

	"synod.dev/synod/paxos"
)

func TestAFullInboxHoldsPeersBackUntilItIsEmptiedOrClosed(t *testing.T) {
	for name, relieve := range map[string]func(*inbox){
		"emptied": func(b *inbox) { b.take(nil, nil) },
		"closed":  (*inbox).close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, got := newInbox(), false
				for range inboxEventsMax + 1 { // this node's own never wait
					b.put(paxos.Event{Kind: paxos.Tick})
				}
				go func() {
					b.putMessage(paxos.Event{Kind: paxos.Received})
					got = true
				}()
				synctest.Wait()
				if got {
					t.Error("a peer got its message into a full inbox")
				}
				relieve(b)
				synctest.Wait()
				if !got {
					t.Error("the peer still waits")
				}
			})
		})
	}
}
