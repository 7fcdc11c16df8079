package kv

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/kv/rbac"
)

// permitAttached returns nil if caller has access to every key that is attached to a lease: whoever may end a lease, or keep it, deletes those
// keys or keeps them.
func (v *view) permitAttached(caller rbac.Caller, access rbac.Access, id int64) error {
	if err := v.auth.PermitLogin(caller); err != nil {
		return err
	}
	for key, err := range v.attached(id) {
		if err != nil {
			return err
		}
		if err := v.auth.PermitKeys(caller, access, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// permitTimeToLive lets everyone who has logged in see how long a lease lives, but not which keys it has.
func (v *view) permitTimeToLive(caller rbac.Caller, r *pb.LeaseTimeToLiveRequest) error {
	if !r.Keys {
		return v.auth.PermitLogin(caller)
	}
	return v.permitAttached(caller, rbac.Read, r.ID)
}

// permitLeases refuses, as etcd does, the list of all leases to who may not read a key of one of them.
func (v *view) permitLeases(caller rbac.Caller) error {
	if err := v.auth.PermitRoot(caller); err == nil {
		return nil
	}
	if err := v.auth.PermitLogin(caller); err != nil {
		return err
	}
	for l, err := range v.leases() {
		if err != nil {
			return err
		}
		if err := v.permitAttached(caller, rbac.Read, l.id); err != nil {
			return err
		}
	}
	return nil
}
