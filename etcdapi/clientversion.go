package etcdapi

import (
	"context"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/metadata"
)

// clientVersionsMax bounds how many versions of clients are told apart, clientVersionBytesMax how long one may be: the text comes from the client.
const (
	clientVersionsMax     = 32
	clientVersionBytesMax = 64
)

// clientVersions counts requests by what the client says of the version of its API.
type clientVersions struct {
	requests *prometheus.CounterVec

	mu    sync.RWMutex
	known map[[2]string]prometheus.Counter // by type and version
}

func newClientVersions() *clientVersions {
	return &clientVersions{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "etcd_server_client_requests_total", Help: "Requests by the version that the client says it has.",
		}, []string{"type", "client_api_version"}),
		known: map[[2]string]prometheus.Counter{},
	}
}

// count counts a request of type "unary" or "stream".
func (c *clientVersions) count(ctx context.Context, kind string) {
	version := "unknown"
	if said := metadata.ValueFromIncomingContext(ctx, "client-api-version"); len(said) > 0 {
		version = said[0]
	}
	if len(version) > clientVersionBytesMax || !utf8.ValidString(version) {
		version = "other"
	}
	c.counter(kind, version).Inc()
}

func (c *clientVersions) counter(kind, version string) prometheus.Counter {
	key := [2]string{kind, version}
	c.mu.RLock()
	counter, ok := c.known[key]
	c.mu.RUnlock()
	if ok {
		return counter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= clientVersionsMax {
		return c.requests.WithLabelValues(kind, "other")
	}
	c.known[key] = c.requests.WithLabelValues(key[0], key[1])
	return c.known[key]
}
