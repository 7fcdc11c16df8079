package etcdapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
)

// gatewayPath is where the JSON gateway begins.
const gatewayPath = "/v3/"

// gateway serves etcd's API as JSON over HTTP (https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway): a POST to a path for each method, bytes in base64, 64-bit
// numbers as text, fields under the names of the .proto files, those with zero values left out. It is a gRPC client of this very server, over connections
// in memory, so that nothing is reached through it that is not reached through gRPC: such a connection has no TLS identity, and is a source of its own.
type gateway struct {
	mux  http.Handler
	conn *grpc.ClientConn

	// Of websockets: who may open them, the largest message, and what ends them.
	access     webAccess
	messageMax int64
	closing    context.Context
	end        context.CancelFunc
	sockets    sync.WaitGroup
}

// newGateway makes a gateway whose connections dial brings to the gRPC server, with messages of so many bytes at most.
func newGateway(dial func(context.Context) (net.Conn, error), access webAccess, messageMax int) (*gateway, error) {
	conn, err := grpc.NewClient("passthrough:///this-member",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
	if err != nil {
		return nil, fmt.Errorf("etcdapi: JSON gateway: %w", err)
	}
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
	}}))
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gw.RegisterKVHandler, gw.RegisterWatchHandler, gw.RegisterLeaseHandler, gw.RegisterClusterHandler, gw.RegisterMaintenanceHandler, gw.RegisterAuthHandler,
		registerLocks,
	} {
		if err := register(context.Background(), mux, conn); err != nil {
			return nil, errors.Join(fmt.Errorf("etcdapi: JSON gateway: %w", err), conn.Close())
		}
	}
	g := &gateway{mux: mux, conn: conn, access: access, messageMax: int64(messageMax)}
	g.closing, g.end = context.WithCancel(context.Background())
	return g, nil
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		g.mux.ServeHTTP(w, r)
		return
	}
	g.sockets.Add(1)
	defer g.sockets.Done()
	g.serveSocket(w, r)
}

// close ends the gateway's connections to the server and its websockets, whatever is under way on them.
func (g *gateway) close() {
	g.end()
	g.conn.Close()
	g.sockets.Wait()
}

// dialSelf connects to this server's gRPC side in memory.
func (p *port) dialSelf(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.grpc.conns <- theirs:
		return ours, nil
	case <-p.grpc.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
