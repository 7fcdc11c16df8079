package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"synod.dev/synod/internal/quiet"
)

// complaints are what goes wrong with one peer, or with strangers. Matters are few, all of them named in this package: nothing that a peer
// sends becomes a key.
type complaints struct {
	mu      sync.Mutex
	matters map[string]*quiet.Matter
}

// warn logs what happened and why, unless there was such a line not long ago, and reports whether it did.
func (c *complaints) warn(log *slog.Logger, what string, why error, attributes ...any) bool {
	muted, ok := c.matter(what + category(why)).May(time.Now())
	if ok {
		log.Warn(what, append(attributes, "error", why, "muted", muted)...)
	}
	return ok
}

func (c *complaints) matter(key string) *quiet.Matter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.matters == nil {
		c.matters = make(map[string]*quiet.Matter)
	}
	m := c.matters[key]
	if m == nil {
		m = &quiet.Matter{}
		c.matters[key] = m
	}
	return m
}

// category tells the reasons apart that deserve lines of their own. It is empty for what any network and any stop of a peer brings about.
func category(why error) string {
	if r, ok := errors.AsType[*refusal](why); ok {
		return fmt.Sprint(": refusal ", r.code)
	}
	if r, ok := errors.AsType[*refusedByPeer](why); ok {
		return fmt.Sprint(": refused ", min(r.code, refusedByHandler+1)) // codes that are not ours are one matter: the peer chooses them
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](why); ok {
		return ": certificate"
	}
	for _, fault := range faults {
		if errors.Is(why, fault) {
			return ": " + fault.Error()
		}
	}
	return ""
}

// hexID renders a node, a cluster or an incarnation as operators know it.
func hexID(id uint64) string { return strconv.FormatUint(id, 16) }
