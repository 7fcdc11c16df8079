package etcdapi

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv/rbac"
)

// access is who may call a method once users and roles are enforced.
type access int

const (
	anyone    access = iota + 1
	loggedIn         // whoever has a name
	rootAlone        // whoever has the role root
	lookOrAct        // loggedIn to look, rootAlone to change
	judged           // the store decides, by what the request asks for: see Server.permit and kv.Store.Permit
)

// accessOf has a row for every method there is. New refuses to serve one that has none.
var accessOf = map[string]access{
	"/etcdserverpb.KV/Range":       judged,
	"/etcdserverpb.KV/RangeStream": judged,
	"/etcdserverpb.KV/Put":         judged,
	"/etcdserverpb.KV/DeleteRange": judged,
	"/etcdserverpb.KV/Txn":         judged,
	"/etcdserverpb.KV/Compact":     rootAlone,

	"/etcdserverpb.Watch/Watch": judged,

	"/etcdserverpb.Lease/LeaseGrant":      judged,
	"/etcdserverpb.Lease/LeaseRevoke":     judged,
	"/etcdserverpb.Lease/LeaseKeepAlive":  judged,
	"/etcdserverpb.Lease/LeaseTimeToLive": judged,
	"/etcdserverpb.Lease/LeaseLeases":     judged,

	"/etcdserverpb.Cluster/MemberAdd":     rootAlone,
	"/etcdserverpb.Cluster/MemberRemove":  rootAlone,
	"/etcdserverpb.Cluster/MemberUpdate":  rootAlone,
	"/etcdserverpb.Cluster/MemberPromote": rootAlone,
	"/etcdserverpb.Cluster/MemberList":    loggedIn,

	"/etcdserverpb.Maintenance/Alarm":      lookOrAct,
	"/etcdserverpb.Maintenance/Status":     loggedIn,
	"/etcdserverpb.Maintenance/Defragment": rootAlone,
	"/etcdserverpb.Maintenance/Hash":       rootAlone,
	"/etcdserverpb.Maintenance/HashKV":     rootAlone,
	"/etcdserverpb.Maintenance/Snapshot":   rootAlone,
	"/etcdserverpb.Maintenance/MoveLeader": rootAlone,
	"/etcdserverpb.Maintenance/Downgrade":  rootAlone,

	"/etcdserverpb.Auth/AuthEnable":           judged,
	"/etcdserverpb.Auth/AuthDisable":          judged,
	"/etcdserverpb.Auth/AuthStatus":           judged,
	"/etcdserverpb.Auth/Authenticate":         anyone,
	"/etcdserverpb.Auth/UserAdd":              judged,
	"/etcdserverpb.Auth/UserGet":              judged,
	"/etcdserverpb.Auth/UserList":             judged,
	"/etcdserverpb.Auth/UserDelete":           judged,
	"/etcdserverpb.Auth/UserChangePassword":   judged,
	"/etcdserverpb.Auth/UserGrantRole":        judged,
	"/etcdserverpb.Auth/UserRevokeRole":       judged,
	"/etcdserverpb.Auth/RoleAdd":              judged,
	"/etcdserverpb.Auth/RoleGet":              judged,
	"/etcdserverpb.Auth/RoleList":             judged,
	"/etcdserverpb.Auth/RoleDelete":           judged,
	"/etcdserverpb.Auth/RoleGrantPermission":  judged,
	"/etcdserverpb.Auth/RoleRevokePermission": judged,

	// What these do in the name of the caller is judged as the reads and writes that it is.
	"/v3lockpb.Lock/Lock":             judged,
	"/v3lockpb.Lock/Unlock":           judged,
	"/v3electionpb.Election/Campaign": judged,
	"/v3electionpb.Election/Proclaim": judged,
	"/v3electionpb.Election/Leader":   judged,
	"/v3electionpb.Election/Observe":  judged,
	"/v3electionpb.Election/Resign":   judged,

	"/grpc.health.v1.Health/Check": anyone,
	"/grpc.health.v1.Health/List":  anyone,
	"/grpc.health.v1.Health/Watch": anyone,
}

// checkAccess returns an error if a method of server has no row.
func checkAccess(server *grpc.Server) error {
	for service, info := range server.GetServiceInfo() {
		for _, method := range info.Methods {
			if accessOf["/"+service+"/"+method.Name] == 0 {
				return fmt.Errorf("etcdapi: nothing says who may call %s/%s; add a row to accessOf", service, method.Name)
			}
		}
	}
	return nil
}

// admit decides on a call before its handler runs, as far as that is decided without the store. It returns the context for the handler, with the caller's
// credential in it. req is nil for a stream.
func (s *Server) admit(ctx context.Context, method string, req any) (context.Context, error) {
	if accessOf[method] == anyone || !s.store.AuthEnabled() {
		return ctx, nil
	}
	ctx, err := s.withCredential(ctx)
	if err != nil {
		return ctx, err
	}
	switch accessOf[method] {
	case judged:
		return ctx, nil
	case loggedIn:
		return ctx, s.settled(ctx, s.store.PermitLogin)
	case lookOrAct:
		if alarm, ok := req.(*pb.AlarmRequest); ok && alarm.Action == pb.AlarmRequest_GET {
			return ctx, s.settled(ctx, s.store.PermitLogin)
		}
	}
	return ctx, s.settled(ctx, s.store.PermitRoot)
}

// permit asks the store whether the caller may make a request, and returns who it is.
func (s *Server) permit(ctx context.Context, req proto.Message) (caller rbac.Caller, err error) {
	return caller, s.settled(ctx, func(ctx context.Context) error {
		caller, err = s.store.Permit(ctx, req)
		return err
	})
}

// settled asks a question again, if the answer was no, once this member has caught up: it may not know yet what the caller has just been
// granted through another.
func (s *Server) settled(ctx context.Context, ask func(context.Context) error) error {
	err := ask(ctx)
	if err == nil || err == rpctypes.ErrGRPCStopped {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	return ask(ctx)
}
