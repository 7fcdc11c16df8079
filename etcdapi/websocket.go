package etcdapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"
)

// Websockets reach the gateway's streams from where an HTTP request cannot go both ways, as in a browser: each message of the client is one JSON message of the
// request's stream, each of the server one line of the answer's. The conventions are etcd's. The method is always POST, and the subprotocols "Bearer" and a token
// stand for an Authorization header, which browsers cannot set.

const bearer = "Bearer"

// serveSocket serves one websocket until either side or the server ends it.
func (g *gateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	answer := http.Header{}
	protocols := websocket.Subprotocols(r)
	if len(protocols) > 0 && protocols[0] == bearer {
		answer.Set("Sec-WebSocket-Protocol", bearer)
	}
	upgrader := websocket.Upgrader{CheckOrigin: g.access.mayConnect}
	socket, err := upgrader.Upgrade(w, r, answer)
	if err != nil {
		return // and has answered
	}
	defer socket.Close() // what that says is nobody's to hear
	defer context.AfterFunc(g.closing, func() { socket.Close() })()
	socket.SetReadLimit(g.messageMax)

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	body, messages := io.Pipe()
	defer body.Close()
	request := r.Clone(ctx)
	request.Method, request.Body = http.MethodPost, body
	if len(protocols) == 2 && protocols[0] == bearer {
		request.Header.Set("Authorization", bearer+" "+protocols[1])
	}
	g.sockets.Go(func() {
		defer cancel()
		messages.CloseWithError(readSocket(socket, messages))
	})
	lines := &socketLines{socket: socket, header: http.Header{}}
	g.mux.ServeHTTP(lines, request)
	lines.end()
}

// readSocket copies messages, a line each, until the client ends them.
func readSocket(socket *websocket.Conn, messages io.Writer) error {
	for {
		_, message, err := socket.ReadMessage()
		if err != nil {
			return io.EOF
		}
		if _, err := messages.Write(append(message, '\n')); err != nil {
			return err
		}
	}
}

// socketLines is an http.ResponseWriter that sends each line as a message.
type socketLines struct {
	socket *websocket.Conn
	header http.Header
	line   bytes.Buffer // begun, and bounded by what one answer of the server is
}

func (l *socketLines) Header() http.Header { return l.header }
func (l *socketLines) WriteHeader(int)     {} // a message has no status: errors say in JSON what they are
func (l *socketLines) Flush()              {}

func (l *socketLines) Write(b []byte) (int, error) {
	for rest := b; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			l.line.Write(rest)
			return len(b), nil
		}
		l.line.Write(rest[:i])
		if err := l.send(); err != nil {
			return 0, err
		}
		rest = rest[i+1:]
	}
}

func (l *socketLines) send() error {
	defer l.line.Reset()
	if l.line.Len() == 0 {
		return nil
	}
	return l.socket.WriteMessage(websocket.TextMessage, l.line.Bytes())
}

// end sends what has no end of line, as an error that came instead of a stream, and says goodbye.
func (l *socketLines) end() {
	if l.send() == nil {
		l.socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")) // if it is still there
	}
}

// mayConnect reports whether a page may open a websocket: one of this host, or of an origin that is allowed. What is no page says no origin.
func (a webAccess) mayConnect(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	_, host, _ := strings.Cut(origin, "://")
	return origin == "" || host == r.Host || a.allows(origin)
}
