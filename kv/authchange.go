package kv

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// changeAuth executes a request that changes users or roles.
func (w *writer) changeAuth(c *authChange, req proto.Message) (proto.Message, error) {
	next, err := c.next(w.auth.Policy, req)
	if err != nil {
		return nil, err
	}
	if next != w.auth.Policy {
		w.auth = &auth{Policy: next, clock: w.auth.clock, taken: w.auth.taken}
	}
	if err := w.dropStaleTokens(req); err != nil {
		return nil, err
	}
	return c.answer(&pb.ResponseHeader{Revision: w.revision}), nil
}

// dropStaleTokens deletes the tokens that a change takes the ground from: a password has changed, a user has gone, nobody is asked any more.
func (w *writer) dropStaleTokens(req proto.Message) error {
	switch r := req.(type) {
	case *pb.AuthDisableRequest:
		return w.dropTokens(func(string) bool { return true })
	case *pb.AuthUserDeleteRequest:
		return w.dropTokens(func(user string) bool { return user == r.Name })
	case *pb.AuthUserChangePasswordRequest:
		return w.dropTokens(func(user string) bool { return user == r.Name })
	}
	return nil
}
