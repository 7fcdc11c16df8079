package paxos

import "testing"

// A log in which the last record of a slot is lost must not make an older record there the choice, whoever's word for the chosen prefix is in the log: the machine would be given the wrong value, or one that
// the log cannot read again.
func TestALostRecordDoesNotMakeAnOlderOneTheChoice(t *testing.T) {
	for _, tc := range []struct {
		name  string
		limit Ballot
		log   []*Record
	}{
		{"a lost vote, before the promise's word", ballotMid, []*Record{voteFor(ballotLow, 1, "old"), {Kind: RecordPromise, Ballot: ballotHigh, Chosen: 1}}},
		{"a lost choice, before the promise's word", Ballot{}, []*Record{voteFor(ballotLow, 1, "old"), {Kind: RecordPromise, Ballot: ballotHigh, Chosen: 1}}},
		{"a lost choice, after a vote of the announcing ballot", Ballot{}, []*Record{voteFor(ballotHigh, 1, "v"), {Kind: RecordAccept, Slot: 2, Ballot: ballotHigh, Chosen: 1, Value: command("w")}}},
		{"a lost choice, after another record of the choice", Ballot{}, []*Record{{Kind: RecordChosen, Slot: 1, Value: command("v")}}},
	} {
		r, err := New(loneConfig(t, 1, 3), Stable{Promised: ballotHigh, Last: 9})
		if err != nil {
			t.Fatal(err)
		}
		r.RestoreUnknown(1, tc.limit)
		for i, rec := range tc.log {
			r.Restore(LSN(i+1), rec)
		}
		if got := r.Delivered(); got != 0 {
			t.Errorf("%s: slots up to %d are taken for chosen", tc.name, got)
		}
	}
}
