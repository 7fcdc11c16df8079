package main

import (
	"context"
	"net"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"synod.dev/synod/internal/freeport"
)

// spanCollector is an OpenTelemetry collector that keeps the names of the spans that it is sent.
type spanCollector struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	names map[string]int
}

func (c *spanCollector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.names[span.Name]++
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestSpansOfRequestsConsensusAndApplyReachTheCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &spanCollector{names: map[string]int{}}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	go server.Serve(l)
	defer server.Stop()

	a := newAlone(t)
	p := a.serve(t, "--enable-distributed-tracing", "--distributed-tracing-address="+l.Addr().String(), "--distributed-tracing-sampling-rate=1000000")
	p.await(readyLine)
	put(t, a.client, "k", "v")
	get(t, a.client, "k")
	p.stops()

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range []string{"etcdserverpb.KV/Put", "consensus", "apply", "etcdserverpb.KV/Range", "confirm read"} {
		if c.names[name] == 0 {
			t.Errorf("no span %q: %v", name, c.names)
		}
	}
}

func TestAMemberServesAndStopsWithoutItsCollector(t *testing.T) {
	addresses, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	a := newAlone(t)
	p := a.serve(t, "--enable-distributed-tracing", "--distributed-tracing-address="+addresses[0], "--distributed-tracing-sampling-rate=1000000")
	p.await(readyLine)
	put(t, a.client, "k", "v")
	p.stops()
}
