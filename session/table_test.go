package session

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// execute plays one command of a session, and returns what its client is told. executed counts what the state machine was given.
func execute(t *Table, id ID, sequence, acknowledged uint64, executed *int) (string, error) {
	e, first, err := t.Begin(&Header{Kind: Execute, Session: id, Sequence: sequence, Acknowledged: acknowledged})
	if err != nil {
		return "", err
	}
	if first {
		*executed++
		t.Finish(e, fmt.Appendf(nil, "result %d of %d", *executed, sequence))
	}
	result, err := e.Result()
	return string(result), err
}

func TestARetryIsAnsweredWithTheFirstResultAndNotExecuted(t *testing.T) {
	table, executed := NewTable(), 0
	id := table.Open(time.Minute)
	first, err := execute(table, id, 1, 0, &executed)
	if err != nil || first != "result 1 of 1" {
		t.Fatalf("%q, %v", first, err)
	}
	for range 3 {
		if again, err := execute(table, id, 1, 0, &executed); err != nil || again != first || executed != 1 {
			t.Errorf("%q, %v, after %d executions", again, err, executed)
		}
	}
}

// Commands of one client overtake each other on their way into the log.
func TestCommandsOfASessionAreExecutedInWhateverOrderTheyCome(t *testing.T) {
	table, executed := NewTable(), 0
	id := table.Open(time.Minute)
	for n, sequence := range []uint64{5, 2, 9, 1} {
		if got, err := execute(table, id, sequence, 0, &executed); err != nil || executed != n+1 {
			t.Errorf("command %d: %q, %v, after %d executions", sequence, got, err, executed)
		}
	}
}

func TestAResultIsRememberedUntilItIsAcknowledged(t *testing.T) {
	table, executed := NewTable(), 0
	id := table.Open(time.Minute)
	for sequence := range uint64(10) {
		execute(table, id, sequence+1, 0, &executed)
	}
	execute(table, id, 11, 7, &executed)
	for sequence := uint64(1); sequence <= 11; sequence++ {
		got, err := execute(table, id, sequence, 0, &executed)
		switch {
		case sequence <= 7 && !errors.Is(err, ErrForgotten):
			t.Errorf("command %d is acknowledged, and answered with %q, %v", sequence, got, err)
		case sequence > 7 && err != nil:
			t.Errorf("command %d is not acknowledged: %v", sequence, err)
		}
	}
	if executed != 11 {
		t.Errorf("%d executions", executed)
	}
	if table.bytes != 4*len("result 8 of 8")+4 {
		t.Errorf("%d bytes of results are counted", table.bytes)
	}
}

// A command that its client has given up must not happen later.
func TestACommandThatComesAfterItWasAcknowledgedIsNotExecuted(t *testing.T) {
	table, executed := NewTable(), 0
	id := table.Open(time.Minute)
	execute(table, id, 5, 4, &executed)
	if got, err := execute(table, id, 3, 0, &executed); !errors.Is(err, ErrForgotten) || executed != 1 {
		t.Errorf("%q, %v, after %d executions", got, err, executed)
	}
}

func TestASessionThatIsUnusedForItsTTLInTheLogsTimeHasEnded(t *testing.T) {
	const begin, ttl = int64(1e18), 10 * time.Second
	table, executed := NewTable(), 0
	table.Advance(begin)
	id := table.Open(ttl)
	for n, step := range []struct {
		at   int64 // of the log's time, after begin
		live bool
	}{
		{int64(ttl) - 1, true},
		{0, true}, // a proposer whose clock is behind: time does not go back
		{2*int64(ttl) - 2, true},
		{3*int64(ttl) - 2, false},
		{0, false}, // nor does the session come back
	} {
		table.Advance(begin + step.at)
		_, err := execute(table, id, uint64(n+1), 0, &executed)
		if live := err == nil; live != step.live {
			t.Errorf("after %v: %v", time.Duration(step.at), err)
		}
		if !step.live && !errors.Is(err, ErrExpired) {
			t.Errorf("after %v: %v", time.Duration(step.at), err)
		}
	}
	if executed != 3 {
		t.Errorf("%d executions", executed)
	}
}

func TestARetryInASessionThatHasEndedIsNotExecuted(t *testing.T) {
	for name, end := range map[string]func(*Table, ID){
		"closed":     func(table *Table, id ID) { table.Close(id) },
		"expired":    func(table *Table, _ ID) { table.Advance(int64(time.Hour)) },
		"pushed out": func(table *Table, _ ID) { openMany(table, SessionsMax) },
	} {
		table, executed := NewTable(), 0
		id := table.Open(time.Minute)
		execute(table, id, 1, 0, &executed)
		end(table, id)
		if got, err := execute(table, id, 1, 0, &executed); !errors.Is(err, ErrExpired) || executed != 1 {
			t.Errorf("%s: %q, %v, after %d executions", name, got, err, executed)
		}
		if table.bytes != 0 || table.holders.Len() != 0 {
			t.Errorf("%s: %d bytes of %d sessions are still counted", name, table.bytes, table.holders.Len())
		}
	}
}

func openMany(table *Table, n int) (ids []ID) {
	for range n {
		ids = append(ids, table.Open(time.Minute))
	}
	return ids
}

func TestOneSessionMorePushesOutTheOneUnusedForLongest(t *testing.T) {
	table, executed := NewTable(), 0
	ids := openMany(table, SessionsMax)
	execute(table, ids[0], 1, 0, &executed)
	table.Open(time.Minute)
	if table.Len() != SessionsMax {
		t.Errorf("%d sessions", table.Len())
	}
	for i, want := range []error{nil, ErrExpired, nil} {
		if _, err := execute(table, ids[i], 2, 0, &executed); !errors.Is(err, want) {
			t.Errorf("session %d: %v; want %v", i, err, want)
		}
	}
}

func TestExpiredSessionsLeaveWhenOthersCome(t *testing.T) {
	table := NewTable()
	openMany(table, 100)
	table.Advance(int64(time.Minute))
	table.Open(time.Minute)
	if table.Len() != 1 {
		t.Errorf("%d sessions", table.Len())
	}
}

func TestASessionHasABoundOnWhatIsUnacknowledged(t *testing.T) {
	table, executed := NewTable(), 0
	id := table.Open(time.Minute)
	for sequence := range uint64(OutstandingMax) {
		execute(table, id, sequence+1, 0, &executed)
	}
	if _, err := execute(table, id, OutstandingMax+1, 0, &executed); !errors.Is(err, ErrFull) || executed != OutstandingMax {
		t.Errorf("%v, after %d executions", err, executed)
	}
	if got, err := execute(table, id, OutstandingMax, 0, &executed); err != nil || executed != OutstandingMax {
		t.Errorf("a retry gets %q, %v", got, err)
	}
	if _, err := execute(table, id, OutstandingMax+1, 1, &executed); err != nil || executed != OutstandingMax+1 {
		t.Errorf("with one acknowledged: %v", err)
	}
}

// Results are forgotten for want of room; that their commands were executed is not.
func TestResultsBeyondTheBoundAreForgottenTheirExecutionIsNot(t *testing.T) {
	table, executed := NewTable(), 0
	table.bytesMax = 10 * len("result 1 of 1")
	idle, busy := table.Open(time.Minute), table.Open(time.Minute)
	for sequence := range uint64(5) {
		execute(table, idle, sequence+1, 0, &executed)
	}
	for sequence := range uint64(8) {
		execute(table, busy, sequence+1, 0, &executed)
	}
	if table.bytes > table.bytesMax {
		t.Errorf("%d bytes of results, %d allowed", table.bytes, table.bytesMax)
	}
	for sequence := range uint64(8) {
		if _, err := execute(table, busy, sequence+1, 0, &executed); err != nil {
			t.Errorf("command %d of the session that was used last: %v", sequence+1, err)
		}
	}
	forgotten := 0
	for sequence := range uint64(5) {
		if _, err := execute(table, idle, sequence+1, 0, &executed); errors.Is(err, ErrForgotten) {
			forgotten++
		}
	}
	if forgotten == 0 || executed != 13 {
		t.Errorf("%d results are forgotten, after %d executions", forgotten, executed)
	}
}

// In one call of Apply a command may come, its retry, and the acknowledgement of both, before any result is known.
func TestResultsThatComeLateFindTheirWay(t *testing.T) {
	table := NewTable()
	id := table.Open(time.Minute)
	first, _, err := table.Begin(&Header{Session: id, Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	again, isFirst, err := table.Begin(&Header{Session: id, Sequence: 1})
	if err != nil || isFirst || again != first {
		t.Fatalf("the retry: %v, %v", isFirst, err)
	}
	second, _, err := table.Begin(&Header{Session: id, Sequence: 2, Acknowledged: 1})
	if err != nil {
		t.Fatal(err)
	}
	table.Finish(first, []byte("one"))
	table.Finish(second, []byte("two"))
	if result, err := again.Result(); err != nil || string(result) != "one" {
		t.Errorf("the retry gets %q, %v", result, err)
	}
	if table.bytes != len("two") {
		t.Errorf("%d bytes are counted", table.bytes)
	}
}

func TestAHeaderComesBackAsItWas(t *testing.T) {
	for _, h := range []Header{
		{Kind: Open, TTL: time.Minute},
		{Kind: Execute, Session: 7, Sequence: 1 << 40, Acknowledged: 1<<40 - 1},
		{Kind: Close, Session: 7},
	} {
		b := h.Append(nil)
		got, rest, err := Decode(append(slices.Clone(b), "data"...))
		if err != nil || got != h || string(rest) != "data" {
			t.Errorf("%+v became %+v, %q, %v", h, got, rest, err)
		}
		for cut := range b {
			if _, _, err := Decode(b[:cut]); !errors.Is(err, ErrHeader) {
				t.Errorf("%+v, cut at %d: %v", h, cut, err)
			}
		}
	}
	if _, _, err := Decode([]byte{9, 1, 1, 1}); !errors.Is(err, ErrHeader) {
		t.Errorf("an unknown kind: %v", err)
	}
}

// Tables that have let something else through differ, for ever; what they remember of results does not count.
func TestADigestTellsOfWhateverWasLetThroughOtherwise(t *testing.T) {
	seen := map[uint64]string{}
	for name, play := range map[string]func(*Table){
		"nothing":            func(*Table) {},
		"a session":          func(table *Table) { table.Open(time.Minute) },
		"opened and closed":  func(table *Table) { table.Close(table.Open(time.Minute)) },
		"a command":          func(table *Table) { execute(table, table.Open(time.Minute), 1, 0, new(int)) },
		"another":            func(table *Table) { execute(table, table.Open(time.Minute), 2, 0, new(int)) },
		"an acknowledgement": func(table *Table) { execute(table, table.Open(time.Minute), 2, 1, new(int)) },
		"another time":       func(table *Table) { table.Advance(1); table.Open(time.Minute) },
	} {
		table := NewTable()
		play(table)
		if other, there := seen[table.Digest()]; there {
			t.Errorf("%s, and %s, have one digest", name, other)
		}
		seen[table.Digest()] = name
	}
	table := full()
	again, err := Read(bytes.NewReader(table.Append(nil)))
	if err != nil || again.Digest() != table.Digest() {
		t.Errorf("%x became %x, %v", table.Digest(), again.Digest(), err)
	}
	poor, rich := full(), full()
	poor.bytesMax = 0
	execute(poor, 2, 6, 2, new(int)) // which has all results forgotten
	execute(rich, 2, 6, 2, new(int))
	execute(rich, 2, 6, 2, new(int)) // a retry
	if poor.Digest() != rich.Digest() {
		t.Error("a retry, or the forgetting of results, changes the digest")
	}
}
