package session

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// client is what the model knows of one session: everything that ever happened in it.
type client struct {
	ttl, lastUsed int64
	acked         uint64
	results       map[uint64]string // of every command that was ever executed
	ended         bool
}

// model judges by the whole history, which it keeps.
type model struct {
	now     int64
	clients map[ID]*client
}

func (m *model) live(id ID) *client {
	c := m.clients[id]
	if c == nil || c.ended || m.now-c.lastUsed >= c.ttl {
		return nil
	}
	return c
}

// execute says what is to become of a command: its result, and whether it is executed now.
func (m *model) execute(h Header, result string) (want string, first bool, err error) {
	c := m.live(h.Session)
	if c == nil {
		if c = m.clients[h.Session]; c != nil {
			c.ended = true
		}
		return "", false, ErrExpired
	}
	c.lastUsed = m.now
	c.acked = max(c.acked, h.Acknowledged)
	unacknowledged := 0
	for sequence := range c.results {
		if sequence > c.acked {
			unacknowledged++
		}
	}
	known, executed := c.results[h.Sequence]
	switch {
	case h.Sequence <= c.acked:
		return "", false, ErrForgotten
	case executed:
		return known, false, nil
	case unacknowledged >= OutstandingMax:
		return "", false, ErrFull
	}
	c.results[h.Sequence] = result
	return result, true, nil
}

// Two replicas that are snapshotted and restored at different moments answer like the model, and no command is ever executed twice.
func TestATableIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model{clients: map[ID]*client{}}
		replicas := []*Table{NewTable(), NewTable()}
		executions := map[string]int{}
		for step := range rapid.IntRange(1, 80).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				which := rapid.IntRange(0, 1).Draw(t, "which")
				restored, err := Read(bytes.NewReader(replicas[which].Append(nil)))
				if err != nil {
					t.Fatal(err)
				}
				replicas[which] = restored
			}
			now := rapid.Int64Range(0, int64(time.Minute)).Draw(t, "time")
			m.now = max(m.now, now)
			for _, r := range replicas {
				r.Advance(now)
			}
			id := ID(rapid.Uint64Range(1, 4).Draw(t, "session"))
			switch rapid.IntRange(0, 11).Draw(t, "kind") {
			case 0:
				ttl := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "ttl"))
				opened := ID(len(m.clients) + 1)
				m.clients[opened] = &client{ttl: int64(ttl), lastUsed: m.now, results: map[uint64]string{}}
				for _, r := range replicas {
					if got := r.Open(ttl); got != opened {
						t.Fatalf("session %d is opened, the model's is %d", got, opened)
					}
				}
			case 1:
				c := m.clients[id]
				for _, r := range replicas {
					if err := r.Close(id); c != nil && m.live(id) != nil && err != nil {
						t.Fatalf("closing a live session: %v", err)
					}
				}
				if c != nil {
					c.ended = true
				}
			default:
				h := Header{Kind: Execute, Session: id, Sequence: rapid.Uint64Range(1, 12).Draw(t, "sequence")}
				h.Acknowledged = rapid.Uint64Range(0, h.Sequence-1).Draw(t, "acknowledged")
				want, first, wantErr := m.execute(h, fmt.Sprintf("%d", step))
				if first {
					executions[fmt.Sprint(h.Session, h.Sequence)]++
				}
				for i, r := range replicas {
					got, gotErr := play(r, h, fmt.Sprintf("%d", step), first)
					if got != want || !errors.Is(gotErr, wantErr) {
						t.Fatalf("replica %d, %+v: %q, %v; want %q, %v", i, h, got, gotErr, want, wantErr)
					}
				}
			}
		}
		for command, n := range executions {
			if n != 1 {
				t.Errorf("command %s was executed %d times", command, n)
			}
		}
		if a, b := replicas[0].Append(nil), replicas[1].Append(nil); !bytes.Equal(a, b) {
			t.Errorf("the replicas differ:\n%x\n%x", a, b)
		}
	})
}

// play gives a table a command, with what it comes to if it is executed. A command that is executed where the model does not shows by its result.
func play(table *Table, h Header, result string, wantFirst bool) (string, error) {
	e, first, err := table.Begin(&h)
	if err != nil {
		return "", err
	}
	if first != wantFirst {
		return fmt.Sprintf("executed: %v", first), nil
	}
	if first {
		table.Finish(e, []byte(result))
	}
	got, err := e.Result()
	return string(got), err
}
