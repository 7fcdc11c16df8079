package etcdapi

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"synod.dev/synod"
)

// tracing makes spans of requests: one for each call, under the caller's own if it has one (W3C trace context), and below it one for what the call spent on being chosen, one
// for being applied, and one for having a read confirmed. Without a tracer it does nothing.
type tracing struct{ tracer trace.Tracer }

// call begins the span of a gRPC call. The returned function ends it.
func (t tracing) call(ctx context.Context, fullMethod string) (context.Context, func(error)) {
	if t.tracer == nil {
		return ctx, func(error) {}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	ctx = propagation.TraceContext{}.Extract(ctx, carrier(md))
	name := strings.TrimPrefix(fullMethod, "/")
	service, method, _ := strings.Cut(name, "/")
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("rpc.system", "grpc"), attribute.String("rpc.service", service), attribute.String("rpc.method", method)))
	return ctx, func(err error) {
		span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(status.Code(err))))
		finish(span, err)
	}
}

// step begins a span below the call's.
func (t tracing) step(ctx context.Context, name string) (context.Context, func(error)) {
	if t.tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func(err error) { finish(span, err) }
}

// proposal begins the span of a command on its way to being chosen, and when it ends adds that of being applied.
func (t tracing) proposal(ctx context.Context) (context.Context, func(error)) {
	if t.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	progress := &synod.Progress{}
	_, span := t.tracer.Start(ctx, "consensus")
	return synod.WithProgress(ctx, progress), func(err error) {
		if progress.Applying.IsZero() {
			finish(span, err)
			return
		}
		span.End(trace.WithTimestamp(progress.Applying))
		_, applied := t.tracer.Start(ctx, "apply", trace.WithTimestamp(progress.Applying))
		applied.End(trace.WithTimestamp(progress.Applied))
	}
}

func finish(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// carrier lets a trace context be read from a request's metadata.
type carrier metadata.MD

func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

func (c carrier) Keys() []string {
	var keys []string
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
