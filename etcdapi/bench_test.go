package etcdapi

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"synod.dev/synod/kv"
)

// floor is a server that does nothing: what gRPC itself costs, client included.
type floor struct{ pb.UnimplementedKVServer }

func (floor) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: &pb.ResponseHeader{ClusterId: testCluster, MemberId: uint64(testMember), Revision: 1 << 20, RaftTerm: 5}}, nil
}

func (floor) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: testCluster, MemberId: uint64(testMember), Revision: 1 << 20, RaftTerm: 5}}, nil
}

// face is a Server whose log answers a write at once, without the store: what the face costs on top of the floor.
func face(b *testing.B) string {
	s := serve(b, nil)
	answer := func() any {
		return kv.Result{Response: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 1 << 20}}}
	}
	s.node.answer.Store(&answer)
	return s.url[len("http://"):]
}

func bare(b *testing.B) string {
	l := listen(b)
	g := grpc.NewServer()
	pb.RegisterKVServer(g, floor{})
	go g.Serve(l)
	b.Cleanup(g.Stop)
	return l.Addr().String()
}

// BenchmarkFace compares the face with a gRPC server that does nothing, under 100 clients on 10 connections.
// Puts have 256 B values; ranges are serializable and find nothing.
func BenchmarkFace(b *testing.B) {
	put := &pb.PutRequest{Key: []byte("key-0001"), Value: make([]byte, 256)}
	read := &pb.RangeRequest{Key: []byte("key-0001"), Serializable: true}
	for _, c := range []struct {
		name string
		call func(pb.KVClient) error
	}{
		{"put", func(kv pb.KVClient) error { _, err := kv.Put(context.Background(), put); return err }},
		{"range", func(kv pb.KVClient) error { _, err := kv.Range(context.Background(), read); return err }},
	} {
		for _, server := range []struct {
			name  string
			start func(*testing.B) string
		}{{"floor", bare}, {"face", face}} {
			b.Run(fmt.Sprintf("%s/%s", c.name, server.name), func(b *testing.B) {
				address := server.start(b)
				clients := make([]pb.KVClient, 10)
				for i := range clients {
					clients[i] = pb.NewKVClient(dial(b, address, insecure.NewCredentials()))
				}
				var turn atomic.Int64
				b.SetParallelism(50) // 100 on two cores
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(p *testing.PB) {
					kv := clients[turn.Add(1)%int64(len(clients))]
					for p.Next() {
						if err := c.call(kv); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}
