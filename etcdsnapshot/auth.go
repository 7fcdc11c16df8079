package etcdsnapshot

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv"
	"synod.dev/synod/kv/rbac"
)

// putAuth writes users and roles, each under its name, and whether they are enforced.
func (w *writer) putAuth(p *rbac.Policy) error {
	enabled := byte(0)
	if p.Enabled {
		enabled = 1
	}
	if err := w.put(bucketAuth, authEnabled, []byte{enabled}); err != nil {
		return err
	}
	if err := w.put(bucketAuth, authRevision, number(p.Revision)); err != nil {
		return err
	}
	for _, name := range p.UserNames() {
		if err := w.putMessage(bucketAuthUsers, []byte(name), p.Users[name]); err != nil {
			return err
		}
	}
	for _, name := range p.RoleNames() {
		if err := w.putMessage(bucketAuthRoles, []byte(name), p.Roles[name]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) putMessage(bucket, key []byte, m proto.Message) error {
	value, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("etcdsnapshot: bucket %s: %w", bucket, err)
	}
	return w.put(bucket, key, value)
}

// putAlarms writes alarms: each is its own key.
func (w *writer) putAlarms(alarms []*pb.AlarmMember) error {
	for _, a := range alarms {
		key, err := proto.Marshal(a)
		if err != nil {
			return fmt.Errorf("etcdsnapshot: bucket %s: %w", bucketAlarm, err)
		}
		if err := w.put(bucketAlarm, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// readBeside reads what a snapshot has beside keys. What is malformed is an error: to leave it out could open the store to everyone.
func readBeside(tx *bbolt.Tx, state *kv.Exported) (err error) {
	if state.Leases, err = leasesOf(tx); err != nil {
		return err
	}
	if state.Auth, err = authOf(tx); err != nil {
		return err
	}
	return each(tx, bucketAlarm, func(key, _ []byte) error {
		alarm := &pb.AlarmMember{}
		if err := proto.Unmarshal(key, alarm); err != nil {
			return fmt.Errorf("malformed alarm %x", key)
		}
		state.Alarms = append(state.Alarms, alarm)
		return nil
	})
}

func authOf(tx *bbolt.Tx) (*rbac.Policy, error) {
	enabled, revision, err := authStateOf(tx)
	if err != nil {
		return nil, err
	}
	var users []*authpb.User
	var roles []*authpb.Role
	err = each(tx, bucketAuthUsers, func(name, value []byte) error {
		user := &authpb.User{}
		users = append(users, user)
		return readNamed(name, value, user)
	})
	if err != nil {
		return nil, err
	}
	err = each(tx, bucketAuthRoles, func(name, value []byte) error {
		role := &authpb.Role{}
		roles = append(roles, role)
		return readNamed(name, value, role)
	})
	if err != nil {
		return nil, err
	}
	return rbac.Restore(enabled, revision, users, roles)
}

// authStateOf reads whether users and roles are enforced, and the auth revision. A member that has never had any has written neither.
func authStateOf(tx *bbolt.Tx) (enabled bool, revision uint64, err error) {
	err = each(tx, bucketAuth, func(key, value []byte) error {
		switch {
		case string(key) == string(authEnabled) && len(value) == 1 && value[0] <= 1:
			enabled = value[0] == 1
		case string(key) == string(authRevision) && len(value) == 8:
			revision = binary.BigEndian.Uint64(value)
		default:
			return fmt.Errorf("malformed row %s of %d bytes in bucket %s", key, len(value), bucketAuth)
		}
		return nil
	})
	return enabled, revision, err
}

// named is a user or a role.
type named interface {
	proto.Message
	GetName() []byte
}

func readNamed(name, value []byte, m named) error {
	if err := proto.Unmarshal(value, m); err != nil || string(m.GetName()) != string(name) {
		return fmt.Errorf("malformed %s %q", m.ProtoReflect().Descriptor().Name(), name)
	}
	return nil
}

// each calls fn with every row of a bucket, if there is such a bucket: a file of before it was invented has none.
func each(tx *bbolt.Tx, name []byte, fn func(key, value []byte) error) error {
	bucket := tx.Bucket(name)
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(fn)
}
