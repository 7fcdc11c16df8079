package etcdapi

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/otel/codes"
	tracesdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"
)

// traced starts a server whose spans are recorded, with a sampler for requests whose caller does not say.
func traced(t *testing.T, sampler tracesdk.Sampler) (*serving, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := tracesdk.NewTracerProvider(tracesdk.WithSpanProcessor(recorder), tracesdk.WithSampler(tracesdk.ParentBased(sampler)))
	return serve(t, func(c *Config) { c.Tracer = provider.Tracer("test") }), recorder
}

// spanNamed returns the last span with a name that has ended.
func spanNamed(t *testing.T, r *tracetest.SpanRecorder, name string) tracesdk.ReadOnlySpan {
	t.Helper()
	var found tracesdk.ReadOnlySpan
	for _, span := range r.Ended() {
		if span.Name() == name {
			found = span
		}
	}
	if found == nil {
		t.Fatalf("no span %q among %d", name, len(r.Ended()))
	}
	return found
}

func TestARequestHasASpanAndItsStepsHaveSpansBelow(t *testing.T) {
	s, recorder := traced(t, tracesdk.AlwaysSample())
	s.mustPut(t, "k", "v")
	s.call(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	for call, step := range map[string]string{"etcdserverpb.KV/Put": "consensus", "etcdserverpb.KV/Range": "confirm read"} {
		above, below := spanNamed(t, recorder, call), spanNamed(t, recorder, step)
		if below.Parent().SpanID() != above.SpanContext().SpanID() {
			t.Errorf("%s is not below %s", step, call)
		}
	}
	s.call(t.Context(), &pb.PutRequest{})
	if span := spanNamed(t, recorder, "etcdserverpb.KV/Put"); span.Status().Code != codes.Error {
		t.Errorf("a put that was refused has status %v", span.Status())
	}
}

func TestTheCallersTraceGoesOnIfItIsSampled(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for flags, traces := range map[string]bool{"01": true, "00": false} {
		s, recorder := traced(t, tracesdk.NeverSample())
		before := len(recorder.Ended())
		s.call(metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+id+"-b7ad6b7169203331-"+flags), &pb.RangeRequest{Key: []byte("k")})
		s.call(t.Context(), &pb.RangeRequest{Key: []byte("k")}) // nobody asked to trace this one
		if !traces {
			if ended := len(recorder.Ended()); ended != before {
				t.Errorf("%d spans of a caller that does not trace", ended-before)
			}
			continue
		}
		if span := spanNamed(t, recorder, "etcdserverpb.KV/Range"); span.SpanContext().TraceID().String() != id {
			t.Errorf("the span is of trace %v", span.SpanContext().TraceID())
		}
		if ended := len(recorder.Ended()); ended != before+2 {
			t.Errorf("%d spans, want that of the call and that of its read", ended-before)
		}
	}
}
