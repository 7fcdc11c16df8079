package etcdapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/health/grpc_health_v1"

	"synod.dev/synod"
)

func TestHealthIsToldAsEtcdTellsIt(t *testing.T) {
	s := serve(t, nil)
	const all = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n"
	stale := "[-]linearizable_read failed: rpc error: code = Unavailable desc = etcdserver: request timed out\n"
	healthy := `{"health":"true","reason":""}`
	for _, state := range []struct {
		name    string
		enter   func()
		answers map[string]reply
	}{
		{"healthy", func() {}, map[string]reply{
			"/health":                         {status: 200, body: healthy},
			"/health?serializable=true":       {status: 200, body: healthy},
			"/health?exclude=NOSPACE":         {status: 200, body: healthy},
			"/livez":                          {status: 200, body: "ok\n"},
			"/livez?verbose":                  {status: 200, body: "[+]serializable_read ok\nok\n"},
			"/livez/serializable_read":        {status: 200, body: "ok\n"},
			"/livez/linearizable_read":        {status: 404, body: "404 page not found\n"},
			"/readyz":                         {status: 200, body: "ok\n"},
			"/readyz?verbose":                 {status: 200, body: all + "ok\n"},
			"/readyz/data_corruption?verbose": {status: 200, body: "[+]data_corruption ok\nok\n"},
			"/readyz/serializable_read":       {status: 200, body: "ok\n"},
			"/readyz/linearizable_read":       {status: 200, body: "ok\n"},
			"/readyz/non_learner":             {status: 200, body: "ok\n"},
			"/readyz?verbose&exclude=non_learner&exclude=none": {status: 200, body: strings.ReplaceAll(all, "[+]non_learner ok\n", "") + "ok\n"},
		}},
		{"without confirmation of reads", func() { s.node.failWith(synod.ErrReadTimeout) }, map[string]reply{
			"/health":                           {status: 503, body: `{"health":"false","reason":"RANGE ERROR:rpc error: code = Unavailable desc = etcdserver: request timed out"}` + "\n"},
			"/health?serializable=true":         {status: 200, body: healthy},
			"/livez":                            {status: 200, body: "ok\n"},
			"/readyz":                           {status: 503, body: strings.ReplaceAll(all, "[+]linearizable_read ok\n", stale) + "\n"},
			"/readyz?exclude=linearizable_read": {status: 200, body: "ok\n"},
			"/readyz/linearizable_read":         {status: 503, body: stale + "\n"},
			"/readyz/serializable_read":         {status: 200, body: "ok\n"},
		}},
		{"without a leader", func() {
			s.node.failWith(nil)
			s.node.leaderless.Store(true)
		}, map[string]reply{
			"/health":                   {status: 503, body: `{"health":"false","reason":"RAFT NO LEADER"}` + "\n"},
			"/health?serializable=true": {status: 200, body: healthy},
			"/livez":                    {status: 200, body: "ok\n"},
		}},
	} {
		state.enter()
		for path, want := range state.answers {
			got := get(t, s.web, s.url+path)
			if got.status != want.status || got.body != want.body {
				t.Errorf("%s: %s answers %d %q, not %d %q", state.name, path, got.status, got.body, want.status, want.body)
			}
		}
	}
}

func TestHealthEndpointsTakeNothingButGET(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/health", "/livez", "/readyz", "/readyz/linearizable_read", "/version", "/debug/vars"} {
		got := do(t, s.web, http.MethodPost, s.url+path)
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET" || got.body != "Method Not Allowed\n" {
			t.Errorf("POST %s: %v", path, got)
		}
	}
}

func TestGRPCHealthIsServingUntilShutdown(t *testing.T) {
	s := serve(t, nil)
	client := grpc_health_v1.NewHealthClient(s.conn)
	watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("at first %v, %v", got, err)
	}
	s.health.Shutdown()
	if got, err := watch.Recv(); err != nil || got.Status != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("in the end %v, %v", got, err)
	}
}

func TestTheVersionIsThatOfTheAPI(t *testing.T) {
	s := serve(t, nil)
	got := get(t, s.web, s.url+"/version")
	if want := `{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}`; got.body != want || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v, not %s", got, want)
	}
}

func TestDebugVarsAreJSON(t *testing.T) {
	s := serve(t, nil)
	var vars struct{ Memstats struct{ HeapAlloc int } }
	got := get(t, s.web, s.url+"/debug/vars")
	if err := json.Unmarshal([]byte(got.body), &vars); err != nil || vars.Memstats.HeapAlloc == 0 {
		t.Errorf("%v: %v", err, got.body)
	}
}

func TestFurtherHandlersAreServedBesideTheServersOwn(t *testing.T) {
	s := serve(t, func(c *Config) {
		c.Handlers = map[string]http.Handler{"/synod/status": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("status"))
		})}
	})
	if got := get(t, s.web, s.url+"/synod/status").body; got != "status" {
		t.Errorf("%q", got)
	}
}

func TestAMemberThatCannotReadItsStoreIsNotAlive(t *testing.T) {
	s := serve(t, nil)
	broken := check{"serializable_read", func(context.Context) error { return errors.New("the disk is gone") }}
	w := httptest.NewRecorder()
	s.serveChecks(w, httptest.NewRequest(http.MethodGet, "/livez", nil), "livez", []check{broken})
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != "[-]serializable_read failed: the disk is gone\n\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
