package etcdapi

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// webAccess says which web pages may use the HTTP side of a client port. It is a guard for people who have a browser in the same network as the server: what
// browsers tell of a page's origin, and which host name they think they are talking to.
type webAccess struct {
	origins []string // of pages that may read answers; "*" for any
	hosts   []string // that requests without TLS may be meant for; "*" or none at all for any
}

// guard answers for a browser's question whether a page may send a request, and turns away requests for a host that this is not.
func (a webAccess) guard(web http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A certificate proves which host this is. Without one a page may have had its own name point here, so as to pass for a page of this host.
		if r.TLS == nil && !a.isHost(r.Host) {
			http.Error(w, fmt.Sprintf("host %q is not one that this server goes by: use TLS, or add it to --host-whitelist", r.Host), http.StatusMisdirectedRequest)
			return
		}
		a.allowOrigin(w.Header(), r.Header.Get("Origin"))
		if r.Method == http.MethodOptions {
			return
		}
		web.ServeHTTP(w, r)
	})
}

func (a webAccess) isHost(host string) bool {
	if len(a.hosts) == 0 || slices.Contains(a.hosts, "*") {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return slices.Contains(a.hosts, strings.Trim(host, "[]"))
}

func (a webAccess) allows(origin string) bool {
	return slices.Contains(a.origins, "*") || origin != "" && slices.Contains(a.origins, origin)
}

// allowOrigin writes the headers that let a page of origin read the answer.
func (a webAccess) allowOrigin(h http.Header, origin string) {
	if slices.Contains(a.origins, "*") {
		origin = "*"
	}
	if !a.allows(origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
	if origin != "*" {
		h.Set("Vary", "Origin") // or a cache might show one page's answer to another
	}
}
