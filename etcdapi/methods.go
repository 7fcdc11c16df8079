package etcdapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// codeCount is one more than the highest gRPC status code.
const codeCount = int(codes.Unauthenticated) + 1

// method counts the calls of one gRPC method, under the names that dashboards for gRPC servers know.
type method struct {
	started, received, sent prometheus.Counter
	handled                 [codeCount]prometheus.Counter
	duration                prometheus.Observer // nil unless metrics are extensive
}

func (m *method) handle(start time.Time, err error) {
	if m.duration != nil {
		m.duration.Observe(time.Since(start).Seconds())
	}
	if code := status.Code(err); int(code) < codeCount {
		m.handled[code].Inc()
	}
}

type methodVecs struct {
	started, handled, received, sent *prometheus.CounterVec
	durations                        *prometheus.HistogramVec // nil unless metrics are extensive
}

// methodLabels name a method in metrics.
var methodLabels = []string{"grpc_type", "grpc_service", "grpc_method"}

func newMethodVecs() *methodVecs {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &methodVecs{
		started:  vec("grpc_server_started_total", "RPCs started.", methodLabels...),
		handled:  vec("grpc_server_handled_total", "RPCs completed, by code.", append(slices.Clone(methodLabels), "grpc_code")...),
		received: vec("grpc_server_msg_received_total", "Messages received.", methodLabels...),
		sent:     vec("grpc_server_msg_sent_total", "Messages sent.", methodLabels...),
	}
}

// addDurations makes metrics extensive.
func (m *metrics) addDurations() {
	m.grpc.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "grpc_server_handling_seconds", Help: "How long RPCs took until they were completed.",
	}, methodLabels)
	m.registry.MustRegister(m.grpc.durations)
}

// resolve makes the counters of every method of server, so that no request has to look a label up.
func (m *metrics) resolve(server *grpc.Server) {
	m.methods = map[string]*method{}
	for service, info := range server.GetServiceInfo() {
		for _, rpc := range info.Methods {
			labels := []string{callType(rpc), service, rpc.Name}
			counted := &method{
				started:  m.grpc.started.WithLabelValues(labels...),
				received: m.grpc.received.WithLabelValues(labels...),
				sent:     m.grpc.sent.WithLabelValues(labels...),
			}
			for code := range counted.handled {
				counted.handled[code] = m.grpc.handled.WithLabelValues(append(labels, codes.Code(code).String())...)
			}
			if m.grpc.durations != nil {
				counted.duration = m.grpc.durations.WithLabelValues(labels...)
			}
			m.methods["/"+service+"/"+rpc.Name] = counted
		}
	}
}

func callType(rpc grpc.MethodInfo) string {
	switch {
	case rpc.IsClientStream && rpc.IsServerStream:
		return "bidi_stream"
	case rpc.IsClientStream:
		return "client_stream"
	case rpc.IsServerStream:
		return "server_stream"
	}
	return "unary"
}

// unary stands before every unary method: it counts, and turns a request away that demands a leader when there is none, or whose
// caller may not make it.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	m, start := s.metrics.methods[info.FullMethod], time.Now()
	m.started.Inc()
	m.received.Inc()
	s.metrics.clients.count(ctx, "unary")
	ctx, ended := s.tracing.call(ctx, info.FullMethod)
	resp, err := any(nil), s.requireLeader(ctx)
	if err == nil {
		ctx, err = s.admit(ctx, info.FullMethod, req)
	}
	if err == nil {
		resp, err = handler(ctx, req)
	}
	if err == nil {
		m.sent.Inc()
	}
	ended(err)
	s.slow.observe(ctx, info.FullMethod, start, err)
	s.finish(m, info.FullMethod, start, err)
	return resp, err
}

// stream does for streams what unary does.
func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	m, start := s.metrics.methods[info.FullMethod], time.Now()
	m.started.Inc()
	ctx := stream.Context()
	s.metrics.clients.count(ctx, "stream")
	ctx, ended := s.tracing.call(ctx, info.FullMethod)
	err := s.requireLeader(ctx)
	if err == nil {
		ctx, err = s.admit(ctx, info.FullMethod, nil)
	}
	if err == nil && demandsLeader(ctx) {
		var release func()
		ctx, release = s.ledStreams.bind(ctx)
		defer release()
	}
	if err == nil {
		err = handler(srv, &countedStream{stream, ctx, m})
	}
	ended(err)
	s.finish(m, info.FullMethod, start, err)
	return err
}

// toldAsUnknown are the answers that etcd gives to clients' own mistakes under the code of what nobody expects.
var toldAsUnknown = []error{errSessionExpired, errNotElected, errNobodyElected, errMissingLeaderKey, errUnknownDowngrade}

// finish counts the outcome, and logs what no client can have caused. An alarm of corruption, which refuses requests as DataLoss, has a line of its own.
func (s *Server) finish(m *method, name string, start time.Time, err error) {
	m.handle(start, err)
	switch status.Code(err) {
	case codes.Unknown, codes.Internal:
		if slices.Contains(toldAsUnknown, err) {
			return
		}
		if muted, ok := s.unexpected.May(time.Now()); ok {
			s.logger.Error("a request failed unexpectedly", "method", strings.TrimPrefix(name, "/"), "error", err, "muted", muted)
		}
	}
}

// requireLeader refuses a request that demands a leader while there is none.
func (s *Server) requireLeader(ctx context.Context) error {
	if !s.led() && demandsLeader(ctx) {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

// led reports whether this member follows a leader, or is one.
func (s *Server) led() bool {
	leader, _ := s.node.Leader()
	return leader != 0
}

type countedStream struct {
	grpc.ServerStream
	ctx    context.Context // with the caller's credential
	method *method
}

func (s *countedStream) Context() context.Context { return s.ctx }

func (s *countedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.method.sent.Inc()
	}
	return err
}

func (s *countedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.method.received.Inc()
	}
	return err
}

// countingCodec is gRPC's own protobuf codec, with the bytes counted; what is encoded already it leaves alone.
type countingCodec struct {
	encoding.CodecV2
	sent, received prometheus.Counter
}

func newCountingCodec(m *metrics) countingCodec {
	return countingCodec{encoding.GetCodecV2(proto.Name), m.sent, m.received}
}

func (c countingCodec) Marshal(v any) (mem.BufferSlice, error) {
	var b mem.BufferSlice
	var err error
	switch m := v.(type) {
	case encodedWatch:
		b = mem.BufferSlice(m)
	case *listing:
		b, err = m.encode(c.CodecV2)
	default:
		b, err = c.CodecV2.Marshal(v)
	}
	c.sent.Add(float64(b.Len()))
	return b, err
}

func (c countingCodec) Unmarshal(b mem.BufferSlice, v any) error {
	c.received.Add(float64(b.Len()))
	return c.CodecV2.Unmarshal(b, v)
}
