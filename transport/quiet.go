package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// quietInterval is the time between two log lines on the same matter.
const quietInterval = 30 * time.Second

// quiet keeps what comes up again and again from filling the log. Matters are few, all of them
// named in this package: nothing that a peer sends becomes a key.
type quiet struct {
	mu      sync.Mutex
	matters map[string]*matter
}

type matter struct {
	logged time.Time
	muted  int // lines since then
}

// warn logs what happened and why, unless there was such a line not long ago.
func (q *quiet) warn(log *slog.Logger, what string, why error, attributes ...any) {
	if muted, ok := q.allow(what+category(why), time.Now()); ok {
		log.Warn(what, append(attributes, "reason", why, "muted", muted)...)
	}
}

// allow reports whether a line may be written now, and how many were not since the last one.
func (q *quiet) allow(key string, now time.Time) (muted int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.matters == nil {
		q.matters = make(map[string]*matter)
	}
	m := q.matters[key]
	if m == nil {
		q.matters[key] = &matter{logged: now}
		return 0, true
	}
	if now.Sub(m.logged) < quietInterval {
		m.muted++
		return 0, false
	}
	muted = m.muted
	*m = matter{logged: now}
	return muted, true
}

// category tells the reasons apart that deserve lines of their own.
func category(why error) string {
	if r, ok := errors.AsType[*refusal](why); ok {
		return fmt.Sprint(": refusal ", r.code)
	}
	for _, sentinel := range sentinels {
		if errors.Is(why, sentinel) {
			return ": " + sentinel.Error()
		}
	}
	return ""
}

// hexID renders a node, a cluster or an incarnation as operators know it.
func hexID(id uint64) string { return strconv.FormatUint(id, 16) }
