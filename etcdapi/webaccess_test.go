package etcdapi

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyPagesOfAnAllowedOriginMayReadAnswers(t *testing.T) {
	for _, test := range []struct {
		origins      []string
		from, answer string // Origin of the request, Access-Control-Allow-Origin of the answer
	}{
		{[]string{"*"}, "http://a", "*"},
		{[]string{"*"}, "", "*"},
		{[]string{"http://a", "http://b"}, "http://b", "http://b"},
		{[]string{"http://a"}, "http://c", ""},
		{[]string{"http://a"}, "", ""},
		{nil, "http://a", ""},
	} {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			served := false
			guarded := webAccess{origins: test.origins}.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
			r := httptest.NewRequest(method, "http://host/health", nil)
			r.Header.Set("Origin", test.from)
			w := httptest.NewRecorder()
			guarded.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != test.answer || w.Code != http.StatusOK {
				t.Errorf("%v, %s from %q: status %d, allowed %q, want %q", test.origins, method, test.from, w.Code, got, test.answer)
			}
			if served != (method == http.MethodGet) {
				t.Errorf("%s reaches what is served: %v", method, served)
			}
		}
	}
}

func TestARequestForAnotherHostIsRefusedUnlessTLSProvesTheHost(t *testing.T) {
	for _, test := range []struct {
		hosts  []string
		host   string
		secure bool
		want   int
	}{
		{nil, "any", false, http.StatusOK},
		{[]string{"*"}, "any", false, http.StatusOK},
		{[]string{"a", "::1"}, "a", false, http.StatusOK},
		{[]string{"a", "::1"}, "a:2379", false, http.StatusOK},
		{[]string{"a", "::1"}, "[::1]:2379", false, http.StatusOK},
		{[]string{"a", "::1"}, "[::1]", false, http.StatusOK},
		{[]string{"a"}, "evil", false, http.StatusMisdirectedRequest},
		{[]string{"a"}, "a.evil:2379", false, http.StatusMisdirectedRequest},
		{[]string{"a"}, "evil", true, http.StatusOK},
	} {
		guarded := webAccess{hosts: test.hosts}.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequest(http.MethodPost, "/v3/kv/range", nil)
		if r.Host = test.host; test.secure {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("hosts %q, request for %q, TLS %v: status %d, want %d", test.hosts, test.host, test.secure, w.Code, test.want)
		}
	}
}
