package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	tracesdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"synod.dev/synod/internal/serverconfig"
)

// flushBound is how long the last spans may take to reach the collector when the member stops.
const flushBound = time.Second

// openTracing returns a tracer that sends spans to the collector; nil if there is to be none. A collector that cannot be reached is tried again in the
// background: spans are held in a bounded queue and then dropped, and requests never wait.
func (m *member) openTracing(c *serverconfig.Tracing) (trace.Tracer, error) {
	if c == nil {
		return nil, nil
	}
	exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(c.Address))
	if err != nil {
		return nil, fmt.Errorf("--distributed-tracing-address %q: %w", c.Address, err)
	}
	about := []attribute.KeyValue{attribute.String("service.name", c.Service)}
	if c.InstanceID != "" {
		about = append(about, attribute.String("service.instance.id", c.InstanceID))
	}
	sampler := tracesdk.NeverSample()
	if c.Sampled > 0 {
		sampler = tracesdk.TraceIDRatioBased(c.Sampled)
	}
	provider := tracesdk.NewTracerProvider(
		tracesdk.WithBatcher(exporter),
		tracesdk.WithResource(resource.NewSchemaless(about...)),
		tracesdk.WithSampler(tracesdk.ParentBased(sampler)))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { m.logger.Warn("cannot send spans to the collector: they are lost", "error", err) }))
	m.closers = append(m.closers, func() error { return closeTracing(provider, m.logger) })
	return provider.Tracer("synod.dev/synod"), nil
}

// closeTracing sends what spans are left. That they do not arrive is no failure of the member.
func closeTracing(provider *tracesdk.TracerProvider, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), flushBound)
	defer cancel()
	if err := provider.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		logger.Warn("the last spans are lost", "error", err)
	}
	return nil
}
