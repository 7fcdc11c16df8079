package e2e

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// rootFlag is how etcdctl logs in once a member is guarded.
const rootFlag = "--user=root:root's password"

// guard gives a store leases, users, roles and an alarm, enforces all that, and goes on as root.
func (m *member) guard() {
	m.t.Helper()
	leases := pb.NewLeaseClient(m.api.ActiveConnection())
	alarms := pb.NewMaintenanceClient(m.api.ActiveConnection())
	m.accomplish(rpctypes.ErrLeaseExist, func(ctx context.Context) (any, error) {
		return leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 7, TTL: leaseTTLStep})
	})
	m.accomplish(rpctypes.ErrLeaseExist, func(ctx context.Context) (any, error) {
		return leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: -7, TTL: leaseTTLMax})
	})
	m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.Put(ctx, "leased/b", "", clientv3.WithLease(7)) })
	m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.Put(ctx, "leased/a", "", clientv3.WithLease(7)) })
	m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.Put(ctx, "leased/was", "", clientv3.WithLease(7)) })
	m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.Put(ctx, "leased/was", "") })
	m.accomplish(rpctypes.ErrUserAlreadyExist, func(ctx context.Context) (any, error) { return m.api.UserAdd(ctx, "root", "root's password") })
	m.accomplish(rpctypes.ErrUserAlreadyExist, func(ctx context.Context) (any, error) { return m.api.UserAdd(ctx, "alice", "alice's password") })
	m.accomplish(rpctypes.ErrUserAlreadyExist, func(ctx context.Context) (any, error) {
		return m.api.UserAddWithOptions(ctx, "nologin", "", &clientv3.UserAddOptions{NoPassword: true})
	})
	m.accomplish(rpctypes.ErrRoleAlreadyExist, func(ctx context.Context) (any, error) { return m.api.RoleAdd(ctx, "keeper") })
	m.accomplish(nil, func(ctx context.Context) (any, error) {
		return m.api.RoleGrantPermission(ctx, "keeper", "key-", "key.", clientv3.PermissionType(authpb.Permission_READWRITE))
	})
	m.accomplish(nil, func(ctx context.Context) (any, error) {
		return m.api.RoleGrantPermission(ctx, "keeper", "leased/", "\x00", clientv3.PermissionType(authpb.Permission_READ))
	})
	m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.UserGrantRole(ctx, "alice", "keeper") })
	m.accomplish(nil, func(ctx context.Context) (any, error) { return m.api.UserGrantRole(ctx, "root", "root") })
	m.accomplish(nil, func(ctx context.Context) (any, error) {
		return alarms.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 5, Alarm: pb.AlarmType_NOSPACE})
	})
	// Once users are enforced, nobody may ask for it again.
	m.accomplish(rpctypes.ErrUserEmpty, func(ctx context.Context) (any, error) { return m.api.AuthEnable(ctx) })
	m.api = m.as("root")
}

// as returns a client of one member for a user.
func (m *member) as(user string) *clientv3.Client {
	m.t.Helper()
	return newClient(m.t, m.client, func(c *clientv3.Config) { c.Username, c.Password = user, user+"'s password" })
}

// sameGuard demands of a member whose store is that of a guarded one that it keeps out whom that keeps out, and nobody else. It leaves b without the alarm, and with its client root's.
func sameGuard(t *testing.T, a, b *member) {
	t.Helper()
	ctx, nobody := t.Context(), b.api
	if _, err := nobody.Get(ctx, "key-1"); !errors.Is(err, rpctypes.ErrUserEmpty) {
		t.Fatalf("%s answers nobody with %v", b.name, err)
	}
	alice := b.as("alice")
	if _, err := alice.Get(ctx, "key-", clientv3.WithPrefix()); err != nil {
		t.Errorf("%s: alice may read her keys: %v", b.name, err)
	}
	if _, err := alice.Get(ctx, "z"); err != nil {
		t.Errorf("%s: alice may read all that is behind leased/: %v", b.name, err)
	}
	for _, key := range []string{"leased/a", "key.", "key"} {
		if err := b.refusal(func(ctx context.Context) (any, error) { return alice.Delete(ctx, key) }); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("%s: alice deletes %s: %v", b.name, key, err)
		}
	}
	b.api = b.as("root")
	if err := b.refusal(func(ctx context.Context) (any, error) { return b.api.Put(ctx, "after", "1") }); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("%s: a put in spite of the alarm: %v", b.name, err)
	}
	if err := b.refusal(func(ctx context.Context) (any, error) { return b.api.AlarmDisarm(ctx, &clientv3.AlarmMember{}) }); err != nil {
		t.Errorf("%s: the alarm does not end: %v", b.name, err)
	}
	compareBeside(t, a, b)
	if err := b.refusal(func(ctx context.Context) (any, error) { return b.api.UserDelete(ctx, "root") }); !errors.Is(err, rpctypes.ErrInvalidAuthMgmt) {
		t.Errorf("%s: root is deleted while users are enforced: %v", b.name, err)
	}
}

// compareBeside compares what two stores have beside keys, as root sees it.
func compareBeside(t *testing.T, a, b *member) {
	t.Helper()
	for _, r := range []proto.Message{
		&pb.AuthStatusRequest{}, &pb.AuthUserListRequest{}, &pb.AuthRoleListRequest{}, &pb.AuthUserGetRequest{Name: "alice"},
		&pb.AuthRoleGetRequest{Role: "keeper"}, &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true}, &pb.LeaseTimeToLiveRequest{ID: -7, Keys: true},
	} {
		want, got := besideOf(t, a, r), besideOf(t, b, r)
		if !want.equals(got) || want.err != nil {
			t.Errorf("%v: %s says %v, %s said %v", r.ProtoReflect().Descriptor().Name(), b.name, got, a.name, want)
		}
	}
	leases, err := b.api.Leases(t.Context())
	if err != nil || len(leases.Leases) != 2 {
		t.Errorf("%s has leases %v, %v", b.name, leases, err)
	}
}

func besideOf(t *testing.T, m *member, r proto.Message) answer {
	t.Helper()
	s := server{m.api.ActiveConnection()}
	var answer answer
	insist(t, func(ctx context.Context) error {
		answer = s.call(ctx, r) // the client's connection logs in by itself
		return answer.err
	})
	if h, ok := answer.response.(headed); ok {
		h.GetHeader().Revision = 0
	}
	if answer.err == nil {
		settle(r, answer.response)
	}
	return answer
}
