package paxos

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawMessage draws a message with any fields set, whatever its kind uses: the wire form does not depend on that.
func drawMessage(t *rapid.T) *Message {
	m := &Message{
		Kind:   MessageKind(rapid.IntRange(int(Prepare), int(Learned)).Draw(t, "message kind")),
		Ballot: drawBallot(t, "ballot"),
		Seen:   drawBallot(t, "seen"),
		Slot:   Slot(rapid.Uint64().Draw(t, "first slot")),
		Upto:   Slot(rapid.Uint64().Draw(t, "last slot")),
		Chosen: Slot(rapid.Uint64().Draw(t, "chosen prefix")),
		Number: rapid.Uint64().Draw(t, "number"),
		Flag:   rapid.Bool().Draw(t, "flag"),
		Origin: NodeID(rapid.Uint64().Draw(t, "origin")),
		Boot:   rapid.Uint32().Draw(t, "boot"),
		Hops:   rapid.Uint8().Draw(t, "hops"),
	}
	if m.Kind == Accept || rapid.Bool().Draw(t, "has a record") {
		m.Record = drawRecord(t)
	}
	for range rapid.IntRange(0, 3).Draw(t, "records") {
		m.Records = append(m.Records, drawRecord(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "reports") {
		rep := Report{Slot: Slot(rapid.Uint64().Draw(t, "report slot")), Ballot: drawBallot(t, "report"), State: ReportUnknown}
		if rapid.Bool().Draw(t, "not lost") {
			rep.State, rep.Record = rapid.SampledFrom([]ReportState{Voted, ReportChosen}).Draw(t, "state"), drawRecord(t)
		}
		m.Reports = append(m.Reports, rep)
	}
	for range rapid.IntRange(0, 3).Draw(t, "proposals") {
		m.Proposals = append(m.Proposals, Proposal{Source: rapid.Uint64().Draw(t, "source"), ID: rapid.Uint64().Draw(t, "id"), Data: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "command")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "rejections") {
		m.Rejected = append(m.Rejected, Rejection{ID: rapid.Uint64().Draw(t, "rejected"), Reason: RejectReason(rapid.Uint8().Draw(t, "reason"))})
	}
	return m
}

func encode(m *Message) []byte { return bytes.Join(AppendMessage(nil, m), nil) }

func TestAMessageSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		wire := encode(m)
		got, err := DecodeMessage(wire)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) { // the records of m are sealed by now
			t.Fatalf("%+v\ncomes back as\n%+v", m, got)
		}
		if !bytes.Equal(encode(got), wire) {
			t.Fatal("what was read has another encoding")
		}
	})
}

// Every field takes part in the encoding: a new one must not be forgotten there, nor in drawMessage.
func TestNoFieldOfAMessageIsForgotten(t *testing.T) {
	if n := reflect.TypeFor[Message]().NumField(); n != 16 {
		t.Errorf("a message has %d fields; draw and encode the new ones, then count them here", n)
	}
}

// The records of a message travel as the bytes that the sender's log has: not a copy, let alone another encoding.
func TestAMessageCarriesItsRecordsAsTheyAre(t *testing.T) {
	rec := voteFor(ballotLow, 1, "v")
	pieces := AppendMessage(nil, &Message{Kind: Accept, Record: rec})
	if len(pieces) != 2 || &pieces[1][0] != &rec.Seal()[0] {
		t.Error("the record is copied")
	}
}

func TestAMessageCutShortIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wire := encode(drawMessage(t))
		for n := range wire {
			if m, err := DecodeMessage(wire[:n]); err == nil {
				t.Fatalf("%d bytes of %d read as %+v", n, len(wire), m)
			}
		}
		if m, err := DecodeMessage(append(wire, 0)); err == nil {
			t.Fatalf("a byte too many reads as %+v", m)
		}
	})
}

// A newer minor version may add fields at the end of the head.
func TestWhatIsNotKnownAtTheEndOfTheHeadIsSkipped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		pieces := AppendMessage(nil, m)
		pieces[0] = append(pieces[0], rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "new fields")...)
		binary.LittleEndian.PutUint32(pieces[0], uint32(len(pieces[0])))
		got, err := DecodeMessage(bytes.Join(pieces, nil))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v\ncomes back as\n%+v: %v", m, got, err)
		}
	})
}

func TestAMessageOfAnUnknownKindIsReadAndIgnored(t *testing.T) {
	m, err := DecodeMessage(encode(&Message{Kind: 200, Ballot: ballotHigh}))
	if err != nil || m.Kind != 200 {
		t.Fatalf("%+v: %v", m, err)
	}
	a := acceptorAmong(t, 3)
	a.receive(2, m)
	if !reflect.DeepEqual(a.fx, Effects{}) {
		t.Errorf("it has effects: %+v", a.fx)
	}
}

func TestAMessageThatNobodyCanHaveSentIsRefused(t *testing.T) {
	vote := voteFor(ballotLow, 1, "v")
	rotten := slices.Clone(encode(&Message{Kind: Accept, Record: vote}))
	rotten[len(rotten)-8] ^= 1
	for name, wire := range map[string][]byte{
		"empty":                        {},
		"an accept without a record":   encode(&Message{Kind: Accept}),
		"a vote without its record":    encode(&Message{Kind: Promise, Reports: []Report{{Slot: 1, State: Voted}}}),
		"a lost vote with its record":  encode(&Message{Kind: Promise, Reports: []Report{{Slot: 1, State: ReportUnknown, Record: vote}}}),
		"a report of an unknown state": encode(&Message{Kind: Promise, Reports: []Report{{Slot: 1, State: 9}}}),
		"a rotten record":              rotten,
	} {
		if m, err := DecodeMessage(wire); err == nil {
			t.Errorf("%s reads as %+v", name, m)
		}
	}
}

// What a head claims to hold costs nothing before it is there.
func TestAClaimOfManyElementsAllocatesNothing(t *testing.T) {
	for _, claim := range []uint64{1 << 20, 1 << 40, 1 << 63, 1<<64 - 1} {
		for list := range 4 {
			head := AppendMessage(nil, &Message{Kind: Promise})[0] // it ends with five counts, all zero
			counts := slices.Clone(head[len(head)-4:])
			head = binary.AppendUvarint(head[:len(head)-4+list], claim)
			head = append(head, counts[list+1:]...)
			binary.LittleEndian.PutUint32(head, uint32(len(head)))
			wire := head
			if claim == 1<<20 {
				wire = append(wire, make([]byte, claim)...) // as many bytes as elements, so that the count itself is plausible
			}

			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := DecodeMessage(wire)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("list %d: a claim of %d elements reads as %+v", list, claim, m)
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<10 {
				t.Errorf("list %d: a claim of %d elements costs %d bytes", list, claim, spent)
			}
		}
	}
}
