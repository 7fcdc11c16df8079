package kv

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// Permit decides by the latest published state whether the credential in ctx allows a request, and returns on whose behalf it
// is, for Admitted. The error is etcd's, or ErrGRPCStopped. Requests of which no rule is known are refused to everyone but root.
// A write is judged again when it is applied, and a read when it is read; this is for what is neither, and to keep from the log
// what would be refused there. Any goroutine may call it.
func (s *Store) Permit(ctx context.Context, req proto.Message) (rbac.Caller, error) {
	return s.judge(ctx, func(v *view, caller rbac.Caller) error { return v.admit(caller, req) })
}

// PermitLogin is Permit for what anyone may do who has logged in.
func (s *Store) PermitLogin(ctx context.Context) error {
	_, err := s.judge(ctx, func(v *view, caller rbac.Caller) error { return v.auth.PermitLogin(caller) })
	return err
}

// PermitRoot is Permit for what is root's alone.
func (s *Store) PermitRoot(ctx context.Context) error {
	_, err := s.judge(ctx, func(v *view, caller rbac.Caller) error { return v.auth.PermitRoot(caller) })
	return err
}

// AuthEnabled reports whether users and roles are enforced, as far as this replica knows; a closed store says that they are. It is cheap.
func (s *Store) AuthEnabled() bool {
	p := s.current.Load()
	return p == nil || p.auth.Enabled
}

func (s *Store) judge(ctx context.Context, rule func(*view, rbac.Caller) error) (caller rbac.Caller, err error) {
	if !s.AuthEnabled() {
		return rbac.Caller{}, nil
	}
	err = s.read(ctx, func(v *view) error {
		if caller, err = v.caller(ctx); err != nil {
			return err
		}
		return rule(v, caller)
	})
	return caller, err
}

// permitted is permit for the credential in ctx.
func (v *view) permitted(ctx context.Context, req proto.Message) error {
	if !v.auth.Enabled {
		return nil
	}
	caller, err := v.caller(ctx)
	if err != nil {
		return err
	}
	return v.permit(caller, req)
}

// admit returns nil if caller may make a request and no alarm forbids it, or etcd's error. Of a write that an alarm forbids that is told first, to whoever asks, as in etcd; but who
// asks for a lease, or for its end, must have logged in. A read is told by who serves it.
func (v *view) admit(caller rbac.Caller, req proto.Message) error {
	switch req.(type) {
	case *pb.RangeRequest:
		return v.permit(caller, req)
	case *pb.LeaseGrantRequest, *pb.LeaseRevokeRequest:
		if err := v.auth.PermitLogin(caller); err != nil {
			return err
		}
	}
	if err := v.alarms.refuse(req); err != nil {
		return err
	}
	return v.permit(caller, req)
}

// permit returns nil if caller may make a request, or etcd's error. What is not listed is root's.
func (v *view) permit(caller rbac.Caller, req proto.Message) error {
	if !v.auth.Enabled {
		return nil
	}
	switch r := req.(type) {
	case *pb.RangeRequest:
		return v.auth.PermitKeys(caller, rbac.Read, r.Key, r.RangeEnd)
	case *pb.PutRequest:
		return v.permitPut(caller, r)
	case *pb.DeleteRangeRequest:
		return v.permitDeleteRange(caller, r)
	case *pb.TxnRequest:
		return v.permitTxn(caller, r)
	case *pb.LeaseGrantRequest:
		return v.auth.PermitLogin(caller)
	case *pb.LeaseRevokeRequest:
		return v.permitAttached(caller, rbac.Write, r.ID)
	case *pb.LeaseKeepAliveRequest:
		return v.permitAttached(caller, rbac.Write, r.ID)
	case *pb.LeaseTimeToLiveRequest:
		return v.permitTimeToLive(caller, r)
	case *pb.LeaseLeasesRequest:
		return v.permitLeases(caller)
	case *pb.AuthUserGetRequest:
		return v.auth.PermitUser(caller, r.Name)
	case *pb.AuthRoleGetRequest:
		return v.auth.PermitRole(caller, r.Role)
	case *pb.AuthStatusRequest, *pb.AuthenticateRequest:
		return nil
	}
	return v.auth.PermitRoot(caller)
}

func (v *view) permitPut(caller rbac.Caller, r *pb.PutRequest) error {
	if err := v.auth.PermitKeys(caller, rbac.Write, r.Key, nil); err != nil {
		return err
	}
	if r.PrevKv {
		if err := v.auth.PermitKeys(caller, rbac.Read, r.Key, nil); err != nil {
			return err
		}
	}
	if r.Lease != 0 {
		return v.permitAttached(caller, rbac.Write, r.Lease)
	}
	return nil
}

func (v *view) permitDeleteRange(caller rbac.Caller, r *pb.DeleteRangeRequest) error {
	if err := v.auth.PermitKeys(caller, rbac.Write, r.Key, r.RangeEnd); err != nil {
		return err
	}
	if r.PrevKv {
		return v.auth.PermitKeys(caller, rbac.Read, r.Key, r.RangeEnd)
	}
	return nil
}

// permitTxn judges every compare and every operation of a transaction and of all that are nested in it, whichever branches are taken.
func (v *view) permitTxn(caller rbac.Caller, r *pb.TxnRequest) error {
	for _, c := range r.Compare {
		if err := v.auth.PermitKeys(caller, rbac.Read, c.Key, c.RangeEnd); err != nil {
			return err
		}
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if err := v.permitOp(caller, op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *view) permitOp(caller rbac.Caller, op *pb.RequestOp) error {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return v.permit(caller, o.RequestRange)
	case *pb.RequestOp_RequestPut:
		return v.permit(caller, o.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return v.permit(caller, o.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return v.permit(caller, o.RequestTxn)
	}
	return v.auth.PermitRoot(caller)
}
