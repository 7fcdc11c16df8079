package disk

import (
	"fmt"
	"sync/atomic"
)

// Op is a kind of call that can be made to fail.
type Op uint8

const (
	OpCreate Op = iota
	OpOpen
	OpRead
	OpWrite
	OpSync
	OpRename
	OpRemove
	OpReadDir
	OpMkdir
	OpSyncDir
	OpLock
)

var opNames = [...]string{"create", "open", "read", "write", "sync", "rename", "remove", "readdir", "mkdir", "syncdir", "lock"}

func (op Op) String() string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return fmt.Sprintf("op-%d", uint8(op))
}

// Call is one call to a Mem or to a file of it.
type Call struct {
	Op     Op
	Name   string
	Offset int64 // of a read or write
	Bytes  int   // of a read or write
}

// Intercept sets a function that is asked before every call. If it returns an error the call fails with it and does nothing, but
// for a failed Datasync: the bytes it should have made durable read back as written, and a power cut will lose them, whatever
// is synced later. The function may block, to be a disk that stalls, and may use the Mem, for example to Crash it. Nil means none.
func (m *Mem) Intercept(fn func(Call) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.intercept = fn
}

func (m *Mem) ask(c Call) error {
	m.mu.Lock()
	fn := m.intercept
	m.mu.Unlock()
	if fn == nil {
		return nil
	}
	return fn(c)
}

// FailNth returns a function for Intercept that fails the nth call of a kind, counted from 1, and no other.
func FailNth(op Op, n int64, err error) func(Call) error {
	var seen atomic.Int64
	return func(c Call) error {
		if c.Op == op && seen.Add(1) == n {
			return fmt.Errorf("%s %s: %w", c.Op, c.Name, err)
		}
		return nil
	}
}
