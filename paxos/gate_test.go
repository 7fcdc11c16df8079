package paxos

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// waiting is one thing that was said to the gate: a vote in one slot, or a promise, which has slot 0.
type waiting struct {
	after LSN
	to    NodeID
	slot  Slot
}

// The gate releases nothing before its record is durable, everything once it is, and in the order of the records.
func TestTheGateReleasesWhatIsDurableAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g gate
		var held []waiting
		appended := LSN(0)
		t.Repeat(map[string]func(*rapid.T){
			"say": func(t *rapid.T) {
				appended++
				w := waiting{after: appended, to: NodeID(rapid.IntRange(1, 2).Draw(t, "to")), slot: Slot(appended)}
				m := &Message{Kind: Accepted, Ballot: Ballot{Round: uint64(rapid.IntRange(1, 2).Draw(t, "ballot"))}, Slot: w.slot, Upto: w.slot}
				if rapid.Bool().Draw(t, "promise") {
					w.slot, m = 0, &Message{Kind: Promise, Chosen: Slot(appended)}
				}
				if rapid.Bool().Draw(t, "of an earlier record") {
					w.after = LSN(rapid.Uint64Range(0, uint64(appended)).Draw(t, "lsn"))
					m.Chosen = Slot(w.after)
				}
				if slices.Contains(held, w) {
					t.Skip("said already")
				}
				if g.pass(w.after, w.to, m) {
					if w.after > g.durable {
						t.Fatalf("passes what waits for record %d; durable are %d", w.after, g.durable)
					}
				} else {
					held = append(held, w)
				}
			},
			"sync": func(t *rapid.T) {
				lsn := LSN(rapid.Uint64Range(0, uint64(appended)).Draw(t, "lsn"))
				var released []waiting
				g.open(lsn, func(to NodeID, m *Message) {
					if m.Kind == Promise {
						released = append(released, waiting{LSN(m.Chosen), to, 0})
					}
					for s := m.Slot; m.Kind == Accepted && s <= m.Upto; s++ {
						released = append(released, waiting{0, to, s})
					}
				})
				checkReleased(t, g.durable, &held, released)
			},
			"": func(t *rapid.T) {
				for _, w := range held {
					if w.after <= g.durable {
						t.Fatalf("%+v is held though record %d is durable", w, g.durable)
					}
				}
			},
		})
	})
}

// checkReleased takes what was released out of what was held: all that is durable must be among it, nothing else, in the order of the records.
func checkReleased(t *rapid.T, durable LSN, held *[]waiting, released []waiting) {
	last := LSN(0)
	for _, r := range released {
		i := slices.IndexFunc(*held, func(w waiting) bool {
			return w.to == r.to && w.slot == r.slot && w.after <= durable && (r.slot != 0 || w.after == r.after)
		})
		if i < 0 {
			t.Fatalf("%+v is released; durable are %d, held were %+v", r, durable, *held)
		}
		if after := (*held)[i].after; after < last {
			t.Fatalf("record %d's message is released after record %d's", after, last)
		} else {
			last = after
		}
		*held = slices.Delete(*held, i, i+1)
	}
	for _, w := range *held {
		if w.after <= durable {
			t.Fatalf("%+v stays though record %d is durable", w, durable)
		}
	}
}

func TestVotesOfNeighbouringSlotsLeaveAsOneMessage(t *testing.T) {
	a := acceptorAmong(t, 3)
	for s := Slot(1); s <= 4; s++ {
		a.accept(2, voteFor(ballotLow, s, "v"))
	}
	a.accept(2, voteFor(ballotMid, 5, "v"))
	a.sync()
	var runs [][2]Slot
	for _, o := range a.sent(Accepted) {
		runs = append(runs, [2]Slot{o.Message.Slot, o.Message.Upto})
	}
	if !slices.Equal(runs, [][2]Slot{{1, 4}, {5, 5}}) {
		t.Errorf("votes leave as %v", runs)
	}
}

func TestADiskThatIsAheadOfItsLogIsAViolation(t *testing.T) {
	a := acceptorAmong(t, 3)
	a.violates("a sync of a record that was never appended", func() { a.step(Event{Kind: Durable, LSN: 1}) })
}
