package etcdapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errNoStore is what a member without a store answers to whatever is asked of etcd's API: it did not happen. Etcd's clients ask another endpoint for what they may repeat.
var errNoStore = status.Error(codes.Unavailable, "synod: this member has no store: use the endpoint of one that has")

// BystanderConfig says what a Bystander is to serve, and where. Node, Observer and Listeners are required.
type BystanderConfig struct {
	Node      Replicator
	Observer  *Observer // with whose Events the node was opened
	Listeners []Listener
	// Handlers are served on client listeners beside metrics and health.
	Handlers map[string]http.Handler
	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger
}

// Bystander stands in for a Server on a member that has no store, a witness for one: it serves metrics, health and version, and answers no requests of the API. Its methods may be called from any
// goroutine.
type Bystander struct {
	node      Replicator
	listeners []Listener
	port      *port
	grpc      *grpc.Server
	http      *http.Server

	stopped context.Context // once Shutdown has begun
	stop    context.CancelFunc
}

// NewBystander returns a Bystander that does not serve yet.
func NewBystander(config BystanderConfig) *Bystander {
	b := &Bystander{node: config.Node, listeners: config.Listeners, port: newPort(cmp.Or(config.Logger, slog.Default()))}
	b.stopped, b.stop = context.WithCancel(context.Background())
	b.grpc = grpc.NewServer(grpc.Creds(newHandshaken(uint64(config.Node.Status().ID))),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return errNoStore }))
	b.http = &http.Server{Handler: b.handler(config), ReadHeaderTimeout: readHeaderTimeout, ErrorLog: log.New(discard{}, "", 0)}
	return b
}

func (b *Bystander) handler(config BystanderConfig) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(config.Observer.changes, config.Observer.sync, newNodeCollector(config.Node, nil, 0),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	for _, path := range []string{"/health", "/livez", "/readyz"} {
		mux.HandleFunc(path, onlyGET(b.serveHealth))
	}
	mux.HandleFunc("/version", onlyGET(serveVersion))
	for path, handler := range config.Handlers {
		mux.Handle(path, handler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, status.Convert(errNoStore).Message(), http.StatusServiceUnavailable)
	})
	return mux
}

// serveHealth answers well while this member hears a leader: it can do its part.
func (b *Bystander) serveHealth(w http.ResponseWriter, _ *http.Request) {
	health := struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{Health: "true"}
	if leader, _ := b.node.Leader(); leader == 0 {
		http.Error(w, `{"health":"false","reason":"RAFT NO LEADER"}`, http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, health)
}

// Serve serves on every listener until Shutdown, after which it returns nil, or until a listener fails, after which it shuts everything down at once and returns why.
func (b *Bystander) Serve() error {
	failed := make(chan error, len(b.listeners)+2)
	var serving sync.WaitGroup
	serve := func(name string, run func() error) {
		serving.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) && b.stopped.Err() == nil {
				failed <- fmt.Errorf("cannot go on serving on %s: %w", name, err)
			}
		})
	}
	serve("gRPC", func() error { return b.grpc.Serve(b.port.grpc) })
	serve("HTTP", func() error { return b.http.Serve(b.port.http) })
	for _, l := range b.listeners {
		serve(l.Addr().String(), func() error { return b.port.serve(l) })
	}
	var err error
	select {
	case err = <-failed:
		err = errors.Join(err, b.Shutdown(context.Background()))
	case <-b.stopped.Done():
	}
	serving.Wait()
	return err
}

// Shutdown stops serving and closes the listeners. What is asked here takes no time, so nothing is waited for but the HTTP requests under way, until ctx ends.
func (b *Bystander) Shutdown(ctx context.Context) error {
	b.stop()
	for _, l := range b.listeners {
		l.Close() // closing a socket that accepts reports nothing of use
	}
	b.port.close()
	b.grpc.Stop()
	return b.http.Shutdown(ctx)
}
