package modelcheck

import (
	"strings"
	"testing"

	"synod.dev/synod/paxos"
)

// A read must see what had been acknowledged, to anybody, when it began; what is acknowledged while it is under way it may see or not.
func TestAReadIsJudgedByWhatWasAcknowledgedBeforeItBegan(t *testing.T) {
	w := named(t, "reads")
	m := newModel(&w)
	j := newJudge(m)
	first, second := m.acknowledged(1), m.acknowledged(2)
	for _, tc := range []struct {
		name          string
		before, after []uint32 // what is acknowledged before the read begins, and after
		began         readBegan
		served        readServed
		stale         bool
	}{
		{"nothing is acknowledged", nil, nil, readBegan{node: 3, read: 1}, readServed{3, 1, 0}, false},
		{"a write is acknowledged while it is under way", nil, []uint32{first}, readBegan{node: 3, read: 1}, readServed{3, 1, 0}, false},
		{"it sees the write before it", []uint32{first}, nil, readBegan{node: 3, read: 1}, readServed{3, 1, 1}, false},
		{"it does not see the write before it", []uint32{first}, nil, readBegan{node: 3, read: 1}, readServed{3, 1, 0}, true},
		{"it does not see the second write before it", []uint32{first, second}, nil, readBegan{node: 3, read: 1}, readServed{3, 1, 1}, true},
		{"it does not see the second, which came later", []uint32{first}, []uint32{second}, readBegan{node: 3, read: 1}, readServed{3, 1, 1}, false},
		{"another read began later", []uint32{first}, nil, readBegan{node: 3, read: 2}, readServed{3, 1, 0}, false},
		{"a read of another member began later", []uint32{first}, nil, readBegan{node: 4, read: 1}, readServed{3, 1, 0}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var past set
			for _, it := range tc.before {
				past.add(it)
			}
			past.add(j.begin(&past, &tc.began))
			for _, it := range tc.after {
				past.add(it)
			}
			err := j.transition(&past, &transition{said: []saying{{served: &tc.served}}})
			if stale := err != nil && strings.HasPrefix(err.Error(), "reads: "); stale != tc.stale || (err != nil) != tc.stale {
				t.Errorf("stale is %v: %v", stale, err)
			}
		})
	}
}

// Whoever delivers a slot has it acknowledged from then on; and a read that has begun keeps what had been acknowledged by then.
func TestWhatIsDeliveredCountsAsAcknowledged(t *testing.T) {
	x := explored(t, "first-reads")
	deliveries := 0
	for _, l := range x.locals {
		if !l.born || l.replica.Delivered() == 0 {
			continue
		}
		before := x.locals[l.before]
		if before.replica.Delivered() == l.replica.Delivered() {
			continue
		}
		deliveries++
		tr := x.happen(l.before, l.how)
		acked := paxos.Slot(0)
		for _, it := range tr.items {
			for _, said := range x.items[it].said {
				acked = max(acked, said.acked)
			}
		}
		if acked != l.replica.Delivered() {
			t.Fatalf("node %d delivers up to slot %d, and %d is acknowledged", l.node+1, l.replica.Delivered(), acked)
		}
	}
	if deliveries == 0 {
		t.Error("nobody delivers anything")
	}
}
