package kv

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/etcd/api/v3/authpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// Users, roles and tokens lie in a space of their own, whose second byte says what a row is:
//
//	08 's'                      enforced (1), auth revision (8), clock (8)
//	08 'u' name                 an authpb.User, which has the hash of its password
//	08 'r' name                 an authpb.Role
//	08 't' token's hash (32)    expiry (8), the user's name
//	08 'e' expiry (8) hash      nothing: tokens in the order in which they expire
//
// They belong to no revision, and HashKV does not see them, as in etcd.
const spaceAuth byte = 8

var (
	authStateKey = []byte{spaceAuth, 's'}
	userPrefix   = []byte{spaceAuth, 'u'}
	rolePrefix   = []byte{spaceAuth, 'r'}
	tokenPrefix  = []byte{spaceAuth, 't'}
	expiryPrefix = []byte{spaceAuth, 'e'}
)

const authStateSize = 17

// auth is who may do what, with the clock by which tokens expire. It is replaced, never changed.
type auth struct {
	*rbac.Policy
	// clock is the log's: the latest reading that a login or a renewal has brought. Who proposes one reads its own clock, in nanoseconds
	// since the Unix epoch, or this one, whichever is ahead.
	clock int64
	// taken is when this process took the clock on. Readers add what has passed since; Apply never looks at it.
	taken time.Time
}

// now is the log's clock as far as this process can tell. It does not rest on the members' clocks being the same.
func (a *auth) now() int64 { return a.clock + int64(time.Since(a.taken)) }

func (a *auth) encode() []byte {
	b := make([]byte, 1, authStateSize)
	if a.Enabled {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint64(b, a.Revision)
	return binary.BigEndian.AppendUint64(b, uint64(a.clock))
}

// loadAuth reads what the store knows of users and roles. A store of before there were any is as one without any.
func loadAuth(db *pebble.DB) (*auth, error) {
	a := &auth{Policy: rbac.Empty(), taken: time.Now()}
	b, err := get(db, authStateKey)
	if err != nil || b == nil {
		return a, err
	}
	if len(b) != authStateSize || b[0] > 1 {
		return nil, fmt.Errorf("kv: malformed row of the auth state: %w", errCorrupt)
	}
	a.Enabled, a.Revision, a.clock = b[0] == 1, binary.BigEndian.Uint64(b[1:]), int64(binary.BigEndian.Uint64(b[9:]))
	v := &view{reader: db}
	if err := loadNamed(v, userPrefix, a.Users, func() *authpb.User { return &authpb.User{} }); err != nil {
		return nil, err
	}
	return a, loadNamed(v, rolePrefix, a.Roles, func() *authpb.Role { return &authpb.Role{} })
}

// named is a user or a role.
type named interface {
	comparable
	proto.Message
	GetName() []byte
}

func loadNamed[M named](v *view, prefix []byte, into map[string]M, fresh func() M) error {
	for r, err := range v.prefixed(prefix) {
		if err != nil {
			return err
		}
		m := fresh()
		if err := proto.Unmarshal(r.value, m); err != nil || string(m.GetName()) != string(r.key[len(prefix):]) {
			return fmt.Errorf("kv: malformed row %q: %w", r.key, errCorrupt)
		}
		into[string(m.GetName())] = m
	}
	return v.close()
}

// writeAuth adds what has changed of the auth state to the batch.
func (w *writer) writeAuth() error {
	before, after := w.store.auth, w.auth
	if before == after {
		return nil
	}
	if err := w.batch.Set(authStateKey, after.encode(), nil); err != nil {
		return err
	}
	if err := writeNamed(w.batch, userPrefix, before.Users, after.Users); err != nil {
		return err
	}
	return writeNamed(w.batch, rolePrefix, before.Roles, after.Roles)
}

// writeNamed writes what is new in after, and deletes what is only in before.
func writeNamed[M named](batch *pebble.Batch, prefix []byte, before, after map[string]M) error {
	for name, m := range after {
		if before[name] == m {
			continue
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return err
		}
		if err := batch.Set(authKey(prefix, name), b, nil); err != nil {
			return err
		}
	}
	for name := range before {
		if _, stays := after[name]; stays {
			continue
		}
		if err := batch.Delete(authKey(prefix, name), nil); err != nil {
			return err
		}
	}
	return nil
}

func authKey(prefix []byte, name string) []byte { return append(append([]byte{}, prefix...), name...) }
