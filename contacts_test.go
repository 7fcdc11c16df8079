package synod

import (
	"math"
	"testing"

	"synod.dev/synod/paxos"
)

// TestARefusalSaysWhatToDoWithinWhatAPeerIsTold holds the longest refusal to what the transport passes on: 256 bytes.
func TestARefusalSaysWhatToDoWithinWhatAPeerIsTold(t *testing.T) {
	err := strangerIn(math.MaxUint32, math.MaxUint64, paxos.Incarnation(math.MaxUint64), paxos.Incarnation(math.MaxUint64))
	if n := len(err.Error()); n > 256 {
		t.Errorf("%d bytes: %v", n, err)
	}
	c := contacts{own: []*paxos.Configuration{{Epoch: math.MaxUint32}}}
	if judged, err := c.admit(math.MaxUint64, 1); !judged || err == nil || len(err.Error()) > 256 {
		t.Errorf("a node that is no member: %t, %v", judged, err)
	}
}
