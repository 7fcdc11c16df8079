package etcdapi

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"synod.dev/synod"
)

// answers says how the outcomes of the log are told to a client. The texts are etcd's, which its clients compare.
//
// Unknown stands for two of etcd's errors, see outcomeError; every other row says that the request did not happen.
var answers = []struct{ outcome, answer error }{
	{synod.ErrNoLeader, rpctypes.ErrGRPCNoLeader},
	{synod.ErrOverloaded, rpctypes.ErrGRPCRequestTooManyRequests},
	{synod.ErrTooLarge, rpctypes.ErrGRPCRequestTooLarge},
	{synod.ErrReadTimeout, rpctypes.ErrGRPCTimeout},
	{synod.ErrClosed, rpctypes.ErrGRPCStopped},
	{synod.ErrFailed, rpctypes.ErrGRPCStopped},
	{synod.ErrRemoved, rpctypes.ErrGRPCStopped},
	{synod.ErrNotLeader, rpctypes.ErrGRPCNotLeader},
	{synod.ErrBadSuccessor, rpctypes.ErrGRPCBadLeaderTransferee},
	{synod.ErrUnknown, rpctypes.ErrGRPCTimeoutDueToLeaderFail},
}

// proposeError says what became of a write: ctx is the one that it was proposed with.
// A write whose caller gave up, or whose time ran out, may have happened, and no code tells the two apart: Unavailable, as in etcd,
// makes clients turn to another member without trying the write again.
func proposeError(ctx context.Context, err error) error {
	if errors.Is(err, synod.ErrUnknown) || isContextError(err) {
		switch ctx.Err() {
		case context.Canceled:
			return rpctypes.ErrGRPCCanceled
		case context.DeadlineExceeded:
			return rpctypes.ErrGRPCTimeout
		}
	}
	return answerTo(err)
}

// readError says why a read could not be confirmed: caller is the context that the request came with. A caller who gave up is
// told so by gRPC itself.
func readError(caller context.Context, err error) error {
	if caller.Err() != nil {
		return status.FromContextError(caller.Err()).Err()
	}
	if isContextError(err) {
		return rpctypes.ErrGRPCTimeout
	}
	return answerTo(err)
}

func answerTo(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, a := range answers {
		if errors.Is(err, a.outcome) {
			return a.answer
		}
	}
	return status.Error(codes.Unknown, err.Error())
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
