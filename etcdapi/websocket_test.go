package etcdapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// openSocket opens a websocket to a path of the gateway.
func openSocket(t *testing.T, s *serving, path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: time.Minute}
	socket, resp, err := dialer.DialContext(t.Context(), strings.Replace(s.url, "http://", "ws://", 1)+path, header)
	if err == nil {
		t.Cleanup(func() { socket.Close() })
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return socket, resp, err
}

func say(t *testing.T, socket *websocket.Conn, message string) {
	t.Helper()
	if err := socket.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// hear awaits a message that contains text, the next one.
func hear(t *testing.T, socket *websocket.Conn, text string) {
	t.Helper()
	_, message, err := socket.ReadMessage()
	if err != nil || !strings.Contains(strings.ReplaceAll(string(message), " ", ""), text) {
		t.Fatalf("heard %q, %v; want %s", message, err, text)
	}
}

func TestAWebsocketWatchesAndCreatesFurtherWatchersOnTheSameStream(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway = true })
	socket, _, err := openSocket(t, s, "/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	say(t, socket, `{"create_request":{"key":"Zm9v"}}`)
	hear(t, socket, `"created":true`)
	say(t, socket, `{"create_request":{"key":"YmFy","watch_id":"5"}}`)
	hear(t, socket, `"watch_id":"5","created":true`)
	s.mustPut(t, "foo", "1")
	hear(t, socket, `"events":[{"kv":{"key":"Zm9v"`)
	s.mustPut(t, "bar", "2")
	hear(t, socket, `"watch_id":"5","events"`)
	say(t, socket, `{"cancel_request":{"watch_id":"5"}}`)
	hear(t, socket, `"canceled":true`)
}

func TestAWebsocketToNothingHearsSoAndIsClosed(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway = true })
	socket, _, err := openSocket(t, s, "/v3/no/such/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	hear(t, socket, `"code":5`)
	if _, message, err := socket.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("it goes on with %q, %v", message, err)
	}
}

func TestAWebsocketThatSaysTooMuchAtOnceIsClosed(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway, c.MaxRequestBytes = true, 1 })
	socket, _, err := openSocket(t, s, "/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	say(t, socket, strings.Repeat(" ", wireOverhead+2))
	if _, message, err := socket.ReadMessage(); err == nil {
		t.Errorf("it goes on with %q", message)
	}
}

func TestOnlyPagesOfAnAllowedOriginMayOpenAWebsocket(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway, c.Origins = true, []string{"http://friend"} })
	for _, test := range []struct {
		origin string
		opens  bool
	}{
		{"http://friend", true}, {s.url, true}, {"", true}, {"http://stranger", false},
	} {
		header := http.Header{}
		if test.origin != "" {
			header.Set("Origin", test.origin)
		}
		if _, _, err := openSocket(t, s, "/v3/watch", header); (err == nil) != test.opens {
			t.Errorf("origin %q: %v", test.origin, err)
		}
	}
}

func TestAWebsocketShowsItsTokenAsASubprotocol(t *testing.T) {
	s := serve(t, func(c *Config) { cheap(c); c.Gateway = true })
	s.enable(t)
	alice, err := s.auth().Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "alice", Password: "alice"})
	must(t, err)
	for _, test := range []struct{ offered, accepted, answer string }{
		{"Bearer, " + alice.Token, bearer, `"created":true}}`},
		{"Bearer, no-such-token", bearer, "invalidauthtoken"},
		{"other", "", `"canceled":true`},
	} {
		socket, resp, err := openSocket(t, s, "/v3/watch", http.Header{"Sec-Websocket-Protocol": {test.offered}})
		if err != nil || resp.Header.Get("Sec-Websocket-Protocol") != test.accepted {
			t.Fatalf("offered %q: %v, %v", test.offered, resp, err)
		}
		say(t, socket, `{"create_request":{"key":"YQ=="}}`)
		hear(t, socket, test.answer)
	}
}

func TestTheServerDoesNotWaitForWebsockets(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway = true })
	socket, _, err := openSocket(t, s, "/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	say(t, socket, `{"create_request":{"key":"Zm9v"}}`)
	hear(t, socket, `"created":true`)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for {
		if _, _, err := socket.ReadMessage(); err != nil {
			return
		}
	}
}
