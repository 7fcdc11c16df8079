package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// scheme makes gRPC dial an endpoint as it is.
const scheme = "passthrough:///"

// Target is a store that is reached over a number of connections.
type Target struct {
	conns []*grpc.ClientConn
	kv    []pb.KVClient // one a connection
	token string        // of the user on whose behalf requests are made; empty without
}

// Dial prepares connections that are spread evenly over the endpoints, host:port each, and makes them as they are needed. Without security
// they are plain TCP.
func Dial(endpoints []string, connections int, security *tls.Config) (*Target, error) {
	transport := insecure.NewCredentials()
	if security != nil {
		transport = credentials.NewTLS(security)
	}
	t := new(Target)
	for i := range connections {
		conn, err := grpc.NewClient(scheme+endpoints[i%len(endpoints)], grpc.WithTransportCredentials(transport),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.conns = append(t.conns, conn)
		t.kv = append(t.kv, pb.NewKVClient(conn))
	}
	return t, nil
}

// Close ends all connections.
func (t *Target) Close() error {
	var errs []error
	for _, conn := range t.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// Login makes all further requests on behalf of a user. It must not run beside any of them.
func (t *Target) Login(ctx context.Context, user, password string) error {
	response, err := pb.NewAuthClient(t.conns[0]).Authenticate(ctx, &pb.AuthenticateRequest{Name: user, Password: password})
	if err != nil {
		return err
	}
	t.token = response.Token
	return nil
}

// as adds to ctx on whose behalf requests are made.
func (t *Target) as(ctx context.Context) context.Context {
	if t.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", t.token)
}

// Await waits until all connections stand. When ctx ends first, the error says what is the matter with one that does not.
func (t *Target) Await(ctx context.Context) error {
	for _, conn := range t.conns {
		conn.Connect()
	}
	for _, conn := range t.conns {
		for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
			if conn.WaitForStateChange(ctx, state) {
				conn.Connect()
				continue
			}
			return t.reason(conn)
		}
	}
	return nil
}

// reason is why a connection does not stand, as a request that does not wait for it is told.
func (t *Target) reason(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, Serializable: true})
	return fmt.Errorf("%s cannot be reached: %s", strings.TrimPrefix(conn.Target(), scheme), status.Convert(err).Message())
}

// Count returns how many keys there are, by a linearizable read.
func (t *Target) Count(ctx context.Context, keys Keys) (int64, error) {
	response, err := t.kv[0].Range(t.as(ctx), &pb.RangeRequest{Key: []byte(keys.Prefix), RangeEnd: prefixEnd(keys.Prefix), CountOnly: true})
	if err != nil {
		return 0, err
	}
	return response.Count, nil
}

// kvOf returns the key-value service on the connection of a client.
func (t *Target) kvOf(client int) pb.KVClient { return t.kv[client%len(t.kv)] }
