package paxos

import "testing"

// A value that a peer sends in the place of a lost record is logged as chosen if the slot is delivered, and never otherwise: this node may have voted for another value there.
func TestOnlyDeliveredSlotsAreMended(t *testing.T) {
	ballot := Ballot{1, 2, 1}
	a := acceptorAmong(t, 3)
	for s := Slot(1); s <= 3; s++ {
		a.accept(2, &Record{Kind: RecordAccept, Slot: s, Ballot: ballot, Chosen: s - 1, Value: command("x")})
	}
	a.sync()
	if got := a.r.Delivered(); got != 2 {
		t.Fatalf("%d slots are delivered", got)
	}
	before := len(a.log)
	a.step(Event{Kind: Mended, Records: []*Record{{Kind: RecordAccept, Slot: 2, Ballot: ballot, Value: command("x")}, {Kind: RecordChosen, Slot: 3, Value: command("y")}, {Kind: RecordPromise}}})
	a.sync()
	added := a.log[before:]
	if len(added) != 1 || added[0].Kind != RecordChosen || added[0].Slot != 2 || string(added[0].Value) != string(command("x")) {
		t.Errorf("logged %v", added)
	}
}
