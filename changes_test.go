package synod

import (
	"errors"
	"testing"

	"synod.dev/synod/paxos"
)

// A change that was asked for twice may be superseded by itself: the leader's refusal of the one attempt says nothing of the other.
func TestARefusalCountsOnlyIfNoOtherAttemptCanHaveBeenCarriedOut(t *testing.T) {
	superseded := func(id uint64) paxos.Rejection { return paxos.Rejection{ID: id, Reason: paxos.Superseded} }
	for name, test := range map[string]struct {
		open     []uint64
		rejected []paxos.Rejection
		want     error // nil if nothing is known yet
	}{
		"the only attempt":               {[]uint64{1}, []paxos.Rejection{superseded(1)}, ErrSuperseded},
		"the second of two":              {[]uint64{1, 2}, []paxos.Rejection{superseded(2)}, nil},
		"both of two":                    {[]uint64{1, 2}, []paxos.Rejection{superseded(2), superseded(1)}, ErrSuperseded},
		"one that cannot be read":        {[]uint64{1}, []paxos.Rejection{{ID: 1, Reason: paxos.Invalid}}, ErrInvalidChange},
		"for want of a leader":           {[]uint64{1}, []paxos.Rejection{{ID: 1, Reason: paxos.NoLeader}}, nil},
		"a command's, not that change's": {[]uint64{1}, []paxos.Rejection{superseded(9)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newChangeWaiter(Change{})
			w.open = test.open
			c := &changes{waiting: []*changeWaiter{w}}
			for _, rj := range test.rejected {
				if known := c.onRejected(rj); known != (rj.ID != 9) {
					t.Errorf("attempt %d is known: %v", rj.ID, known)
				}
			}
			select {
			case err := <-w.outcome:
				if test.want == nil || !errors.Is(err, test.want) {
					t.Errorf("the caller is told %v", err)
				}
			default:
				if test.want != nil {
					t.Errorf("the caller is told nothing, and it is known that %v", test.want)
				}
			}
		})
	}
}
