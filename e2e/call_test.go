package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// callBound is how long a server may take for one answer: far longer than it lets a request wait itself.
const callBound = 30 * time.Second

// request is one call: what is asked, whether a Range is to be streamed, and whose token is shown.
type request struct {
	proto.Message
	stream bool
	as     *login // nil shows no token
	slot   int    // of a watch: on which of the watch streams
}

// login is a user's, with the token that each of the two servers has given for it.
type login struct {
	user   string
	tokens [2]string
	ended  bool // the tokens have been revoked
}

func (l *login) String() string {
	if l == nil {
		return "nobody"
	}
	return l.user
}

// server is one of the two that are compared.
type server struct{ conn *grpc.ClientConn }

// both asks the two servers at the same time; side is the place of each among a login's tokens.
func both[A any](ctx context.Context, servers [2]server, ask func(ctx context.Context, s server, side int) A) (answers [2]A) {
	var wait sync.WaitGroup
	wait.Go(func() { answers[0] = ask(ctx, servers[0], 0) })
	answers[1] = ask(ctx, servers[1], 1)
	wait.Wait()
	return answers
}

// showing returns a context for calls that show a token, unless it is "".
func showing(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", token)
}

// do makes a request as one of the two sides that its login may have tokens of.
func (s server) do(ctx context.Context, r request, side int) answer {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	if r.as != nil {
		ctx = showing(ctx, r.as.tokens[side])
	}
	switch m := r.Message.(type) {
	case *pb.RangeRequest:
		if r.stream {
			return collect(pb.NewKVClient(s.conn).RangeStream(ctx, m))
		}
	case *pb.LeaseKeepAliveRequest:
		return s.keepAlive(ctx, m)
	case *pb.SnapshotRequest:
		return s.snapshot(ctx, m)
	}
	return s.call(ctx, r.Message)
}

// unaryMethods are the methods of etcd's services that are asked one message, by its name. No two take the same one.
var unaryMethods = func() map[protoreflect.FullName]protoreflect.MethodDescriptor {
	methods := map[protoreflect.FullName]protoreflect.MethodDescriptor{}
	services := pb.File_rpc_proto.Services()
	for i := range services.Len() {
		for j := range services.Get(i).Methods().Len() {
			if m := services.Get(i).Methods().Get(j); !m.IsStreamingClient() && !m.IsStreamingServer() {
				methods[m.Input().FullName()] = m
			}
		}
	}
	return methods
}()

// call calls the method that takes m.
func (s server) call(ctx context.Context, m proto.Message) answer {
	method := unaryMethods[m.ProtoReflect().Descriptor().FullName()]
	if method == nil {
		panic(fmt.Sprintf("%T is no request of a method", m))
	}
	output, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		panic(err) // its package is linked in
	}
	response := output.New().Interface().(headed)
	err = s.conn.Invoke(ctx, fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name()), m, response)
	return answered(response, err)
}

// answer is what a server said, with what may differ between two servers taken out.
type answer struct {
	response proto.Message // nil if err is not
	err      error
}

type headed interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

func answered[R headed](response R, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	if h := response.GetHeader(); h != nil {
		if h.ClusterId == 0 || h.MemberId == 0 || h.RaftTerm == 0 {
			return answer{err: fmt.Errorf("a header without cluster, member or term: %v", h)}
		}
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	return answer{response: response}
}

// collect merges the chunks of a stream, which must come to what Range answers; only the last has a header.
func collect(stream grpc.ServerStreamingClient[pb.RangeStreamResponse], err error) answer {
	if err != nil {
		return answer{err: err}
	}
	merged := &pb.RangeResponse{}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answered(merged, nil)
		}
		if err != nil {
			return answer{err: err}
		}
		if merged.Header != nil {
			return answer{err: fmt.Errorf("a chunk after the one with the header: %v", brief(chunk))}
		}
		proto.Merge(merged, chunk.RangeResponse)
	}
}

func (a answer) equals(b answer) bool {
	if a.err != nil || b.err != nil {
		return status.Code(a.err) == status.Code(b.err) && status.Convert(a.err).Message() == status.Convert(b.err).Message()
	}
	return proto.Equal(a.response, b.response)
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return brief(a.response)
}

// kind names what became of a request, so that a run shows what it has covered.
func (a answer) kind(r request) string {
	name := string(r.ProtoReflect().Descriptor().Name())
	if r.stream {
		name += " (stream)"
	}
	if a.err == nil {
		return name + " " + codes.OK.String()
	}
	return name + " " + a.err.Error()
}

// brief renders a message on one line, cut where it gets long.
func brief(m proto.Message) string {
	const most = 1500
	s := prototext.MarshalOptions{}.Format(m)
	if len(s) > most {
		s = s[:most] + fmt.Sprintf("… (%d more)", len(s)-most)
	}
	return s
}
