package session

import (
	"container/list"
	"errors"
	"slices"
	"time"
)

// Bounds of a table. All but the last are part of what commands mean: replicas that differ in them diverge.
const (
	// SessionsMax is how many sessions there are at most: one more pushes out the one that has not been used for longest.
	SessionsMax = 8192
	// OutstandingMax is how many executed commands of one session may be unacknowledged.
	OutstandingMax = 128
	// ResultBytesMax bounds the bytes of all remembered results. Beyond it those of the sessions that have not been used for longest are forgotten; that the commands were executed is not.
	ResultBytesMax = 64 << 20
)

var (
	// ErrExpired means that there is no such session: it was closed, or unused for its TTL, or pushed out. The command is not executed.
	ErrExpired = errors.New("session: the session has ended")
	// ErrFull means that the session has OutstandingMax executed commands that its client has not acknowledged. The command is not executed; the client may try again.
	ErrFull = errors.New("session: too many commands are unacknowledged")
	// ErrForgotten means that the command is not executed again, and what it came to is not known here: its client had acknowledged it, or the result was lost.
	ErrForgotten = errors.New("session: the result is not remembered")
)

// Table is the sessions of a replicated state machine, as of some point of the log.
type Table struct {
	now      int64 // the largest time in the log so far, nanoseconds since the Unix epoch
	last     ID    // the last one given out
	sessions map[ID]*record
	used     *list.List // of *record: the one unused for longest first
	holders  *list.List // those of them that have results, in the same order
	bytes    int        // of all results
	bytesMax int        // ResultBytesMax, less in tests
	digest   uint64     // see Digest
}

// record is one session.
type record struct {
	id       ID
	ttl      time.Duration
	lastUsed int64 // by the log's time
	acked    uint64
	entries  []*Entry      // executed and not acknowledged, ascending by sequence
	bytes    int           // of their results
	place    *list.Element // in Table.used
	holder   *list.Element // in Table.holders, nil if there are no results
}

// Entry is one executed command.
type Entry struct {
	owner    *record // nil once it is acknowledged, or its session has ended
	sequence uint64
	known    bool
	result   []byte
}

// NewTable returns the table of an empty log.
func NewTable() *Table {
	return &Table{sessions: map[ID]*record{}, used: list.New(), holders: list.New(), bytesMax: ResultBytesMax}
}

// Advance takes note of the time of a command in the log, any command, before that is judged. Time never goes back: an earlier one changes nothing.
func (t *Table) Advance(time int64) { t.now = max(t.now, time) }

// Open makes a session.
func (t *Table) Open(ttl time.Duration) ID {
	for first := t.used.Front(); first != nil && (t.expired(first.Value.(*record)) || len(t.sessions) >= SessionsMax); first = t.used.Front() {
		t.remove(first.Value.(*record))
	}
	t.last++
	r := &record{id: t.last, ttl: ttl, lastUsed: t.now}
	r.place = t.used.PushBack(r)
	t.sessions[r.id] = r
	t.chain(uint64(Open), uint64(r.id), uint64(t.now))
	return r.id
}

// Close ends a session.
func (t *Table) Close(id ID) error {
	r := t.sessions[id]
	if r == nil {
		return ErrExpired
	}
	t.remove(r)
	t.chain(uint64(Close), uint64(id), uint64(t.now))
	return nil
}

// Begin judges a command. If first is set it is to be executed, and Finish to be called with what it came to; if not, it has been, and the entry holds what it came to, at the latest after Finish.
// Otherwise it is not executed, for the reason that err is.
func (t *Table) Begin(h *Header) (e *Entry, first bool, err error) {
	r := t.sessions[h.Session]
	if r == nil {
		return nil, false, ErrExpired
	}
	if t.expired(r) {
		t.remove(r)
		return nil, false, ErrExpired
	}
	t.use(r)
	t.acknowledge(r, h.Acknowledged)
	if h.Sequence <= r.acked {
		return nil, false, ErrForgotten
	}
	at, executed := slices.BinarySearchFunc(r.entries, h.Sequence, bySequence)
	if executed {
		return r.entries[at], false, nil
	}
	if len(r.entries) >= OutstandingMax {
		return nil, false, ErrFull
	}
	e = &Entry{owner: r, sequence: h.Sequence}
	r.entries = slices.Insert(r.entries, at, e)
	t.chain(uint64(h.Session), h.Sequence, r.acked, uint64(t.now))
	return e, true, nil
}

// Digest chains all that the table has ever let through. It does not depend on results, which replicas may forget.
func (t *Table) Digest() uint64 { return t.digest }

func (t *Table) chain(values ...uint64) {
	for _, v := range values {
		t.digest = (t.digest ^ v) * 0x9E3779B97F4A7C15
		t.digest ^= t.digest >> 32
	}
}

func bySequence(e *Entry, sequence uint64) int {
	switch {
	case e.sequence < sequence:
		return -1
	case e.sequence > sequence:
		return 1
	}
	return 0
}

// Finish has an entry remember what its command came to, unless that is not needed any more. The table keeps result.
func (t *Table) Finish(e *Entry, result []byte) {
	e.known, e.result = true, result
	if e.owner == nil {
		return // acknowledged by a command that came in the same call of Apply
	}
	t.hold(e.owner, len(result))
	for t.bytes > t.bytesMax {
		t.forgetOne(t.holders.Front().Value.(*record))
	}
}

// Result returns what the command came to.
func (e *Entry) Result() ([]byte, error) {
	if !e.known {
		return nil, ErrForgotten
	}
	return e.result, nil
}

// Len returns how many sessions there are, those included that have expired and not been asked for since.
func (t *Table) Len() int { return len(t.sessions) }

func (t *Table) expired(r *record) bool { return t.now-r.lastUsed >= int64(r.ttl) }

func (t *Table) use(r *record) {
	r.lastUsed = t.now
	t.used.MoveToBack(r.place)
	if r.holder != nil {
		t.holders.MoveToBack(r.holder)
	}
}

// acknowledge forgets the commands up to a sequence.
func (t *Table) acknowledge(r *record, upto uint64) {
	r.acked = max(r.acked, upto)
	n := 0
	for n < len(r.entries) && r.entries[n].sequence <= r.acked {
		r.entries[n].owner = nil
		t.hold(r, -len(r.entries[n].result))
		n++
	}
	r.entries = slices.Delete(r.entries, 0, n)
}

// forgetOne forgets the oldest result of a session that has some.
func (t *Table) forgetOne(r *record) {
	for _, e := range r.entries {
		if len(e.result) > 0 {
			t.hold(r, -len(e.result))
			e.known, e.result = false, nil
			return
		}
	}
}

// hold counts bytes of results, of which a session has so many more now.
func (t *Table) hold(r *record, more int) {
	r.bytes += more
	t.bytes += more
	switch {
	case r.bytes > 0 && r.holder == nil:
		r.holder = t.holders.PushBack(r)
	case r.bytes == 0 && r.holder != nil:
		t.holders.Remove(r.holder)
		r.holder = nil
	}
}

// remove ends a session.
func (t *Table) remove(r *record) {
	for _, e := range r.entries {
		e.owner = nil
	}
	t.hold(r, -r.bytes)
	t.used.Remove(r.place)
	delete(t.sessions, r.id)
}
