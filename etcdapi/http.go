package etcdapi

import (
	"encoding/json"
	"expvar"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.etcd.io/etcd/api/v3/version"
)

// etcdVersion is the version of etcd whose API is served. Kubernetes reads it to learn what the server can do.
// A cluster agrees on its minor, and so does the stored form.
var (
	etcdVersion    = version.Version
	clusterVersion = version.Cluster(etcdVersion) + ".0"
	storageVersion = clusterVersion
)

// clientHandler serves what a client port has beside gRPC.
func (s *Server) clientHandler(more map[string]http.Handler) http.Handler {
	mux := s.metricsMux()
	mux.HandleFunc("/version", onlyGET(serveVersion))
	mux.HandleFunc("/debug/vars", onlyGET(expvar.Handler().ServeHTTP))
	if s.gateway != nil {
		mux.Handle(gatewayPath, s.gateway)
	}
	for path, handler := range more {
		mux.Handle(path, handler)
	}
	return mux
}

// passGRPC passes on the requests of gRPC clients whose TLS handshake looked like a browser's. They are served more slowly.
func (s *Server) passGRPC(web http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			s.grpc.ServeHTTP(w, r)
			return
		}
		web.ServeHTTP(w, r)
	})
}

// metricsMux serves what a metrics listener has: metrics and health, and nothing that could change or reveal a key.
func (s *Server) metricsMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	s.handleHealth(mux)
	return mux
}

func serveVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, version.Versions{Server: etcdVersion, Cluster: clusterVersion, Storage: storageVersion})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b) // a client that went away needs no answer
}

// onlyGET refuses every other HTTP method as etcd does, with a text of its own.
func onlyGET(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		handle(w, r)
	}
}
