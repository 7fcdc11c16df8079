// Command nothing is a server with etcd's key-value service that does nothing: it answers every request at once, and the answer is empty. What a load
// takes against it is what gRPC, the network and the client take: the floor of any server with that API.
package main

import (
	"context"
	"flag"
	"log"
	"net"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

type nothing struct{ pb.UnimplementedKVServer }

func (nothing) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: &pb.ResponseHeader{}}, nil
}

func (nothing) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{}}, nil
}

func main() {
	address := flag.String("listen", "127.0.0.1:2379", "host:port to serve on")
	flag.Parse()
	socket, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, nothing{})
	log.Fatal(s.Serve(socket))
}
