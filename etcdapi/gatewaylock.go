package etcdapi

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/etcdapi/v3electionpb"
	"synod.dev/synod/etcdapi/v3lockpb"
)

// registerLocks adds the paths of locks and elections, for which etcd's API module has no generated gateway.
func registerLocks(_ context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
	lock, election := v3lockpb.NewLockClient(conn), v3electionpb.NewElectionClient(conn)
	return errors.Join(
		serveJSON(mux, "/v3/lock/lock", unary(mux, lock.Lock)),
		serveJSON(mux, "/v3/lock/unlock", unary(mux, lock.Unlock)),
		serveJSON(mux, "/v3/election/campaign", unary(mux, election.Campaign)),
		serveJSON(mux, "/v3/election/proclaim", unary(mux, election.Proclaim)),
		serveJSON(mux, "/v3/election/leader", unary(mux, election.Leader)),
		serveJSON(mux, "/v3/election/resign", unary(mux, election.Resign)),
		serveJSON(mux, "/v3/election/observe", streamed(mux, election.Observe)),
	)
}

// exchange is one HTTP request for a method: its JSON, and where the answer goes.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	body runtime.Decoder
	out  runtime.Marshaler
}

// serveJSON lets answer serve POSTs to path; an error is sent as the gateway sends any other.
func serveJSON(mux *runtime.ServeMux, path string, answer func(context.Context, exchange) error) error {
	return mux.HandlePath(http.MethodPost, path, func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		in, out := runtime.MarshalerForRequest(mux, r)
		ctx, err := runtime.AnnotateContext(r.Context(), mux, r, path, runtime.WithHTTPPathPattern(path))
		if err == nil {
			ctx = runtime.NewServerMetadataContext(ctx, runtime.ServerMetadata{}) // which nobody sends here, and the gateway insists on
			err = answer(ctx, exchange{w, r, in.NewDecoder(r.Body), out})
		}
		if err != nil {
			runtime.HTTPError(r.Context(), mux, out, w, r, err)
		}
	})
}

// decode reads a request. An empty body is an empty request.
func (e exchange) decode(request any) error {
	if err := e.body.Decode(request); err != nil && !errors.Is(err, io.EOF) {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

func unary[R any, A proto.Message](mux *runtime.ServeMux, call func(context.Context, *R, ...grpc.CallOption) (A, error)) func(context.Context, exchange) error {
	return func(ctx context.Context, e exchange) error {
		request := new(R)
		if err := e.decode(request); err != nil {
			return err
		}
		answer, err := call(ctx, request)
		if err != nil {
			return err
		}
		runtime.ForwardResponseMessage(ctx, mux, e.out, e.w, e.r, answer)
		return nil
	}
}

func streamed[R, A any](mux *runtime.ServeMux, call func(context.Context, *R, ...grpc.CallOption) (grpc.ServerStreamingClient[A], error)) func(context.Context, exchange) error {
	return func(ctx context.Context, e exchange) error {
		request := new(R)
		if err := e.decode(request); err != nil {
			return err
		}
		stream, err := call(ctx, request)
		if err != nil {
			return err
		}
		runtime.ForwardResponseStream(ctx, mux, e.out, e.w, e.r, func() (proto.Message, error) {
			answer, err := stream.Recv()
			return any(answer).(proto.Message), err
		})
		return nil
	}
}
