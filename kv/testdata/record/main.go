// Command record asks a real etcd, whose store must be empty, a stream of random requests and writes down what it answers, one
// exchange a line. The test TestAnswersAreThoseOfEtcd gives the same requests to a Store.
//
//	go run ./kv/testdata/record -endpoint 127.0.0.1:2379 -seed 5 -exchanges 700 > kv/testdata/etcd-3.7.jsonl
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// exchange is one line of the recording.
type exchange struct {
	Kind     string          `json:"kind"`
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response,omitempty"`
	Code     string          `json:"code,omitempty"`
	Error    string          `json:"error,omitempty"`
}

func main() {
	log.SetFlags(0)
	endpoint := flag.String("endpoint", "127.0.0.1:2379", "where etcd serves clients")
	seed := flag.Uint64("seed", 1, "of the random requests")
	exchanges := flag.Int("exchanges", 700, "how many")
	flag.Parse()
	conn, err := grpc.NewClient(*endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	g := &generator{Rand: rand.New(rand.NewPCG(*seed, 0)), revision: 1, compacted: -1, compactions: map[int64]bool{}}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for range *exchanges {
		kind, request := g.next()
		response, err := ask(conn, kind, request)
		if err != nil && status.Code(err).String() == "Unavailable" {
			log.Fatal(err)
		}
		x := exchange{Kind: kind, Request: marshal(request)}
		if err != nil {
			x.Code, x.Error = status.Code(err).String(), status.Convert(err).Message()
		} else {
			g.learn(request, response)
			x.Response = marshal(response)
		}
		if err := out.Encode(x); err != nil {
			log.Fatal(err)
		}
	}
}

func ask(conn *grpc.ClientConn, kind string, request proto.Message) (proto.Message, error) {
	ctx := context.Background()
	kv := pb.NewKVClient(conn)
	switch r := request.(type) {
	case *pb.PutRequest:
		return kv.Put(ctx, r)
	case *pb.DeleteRangeRequest:
		return kv.DeleteRange(ctx, r)
	case *pb.TxnRequest:
		return kv.Txn(ctx, r)
	case *pb.CompactionRequest:
		return kv.Compact(ctx, r)
	case *pb.HashKVRequest:
		return pb.NewMaintenanceClient(conn).HashKV(ctx, r)
	case *pb.RangeRequest:
		if kind == "stream" {
			return merge(kv.RangeStream(ctx, r))
		}
		return kv.Range(ctx, r)
	}
	return nil, fmt.Errorf("no such request: %T", request)
}

func merge(stream grpc.ServerStreamingClient[pb.RangeStreamResponse], err error) (proto.Message, error) {
	if err != nil {
		return nil, err
	}
	merged := &pb.RangeResponse{}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return merged, nil
		}
		if err != nil {
			return nil, err
		}
		proto.Merge(merged, chunk.RangeResponse)
	}
}

// marshal leaves out of a response what depends on the cluster, and out of JSON the spaces that protojson varies.
func marshal(m proto.Message) json.RawMessage {
	if m, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok && m.GetHeader() != nil {
		h := m.GetHeader()
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		log.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		log.Fatal(err)
	}
	return compact.Bytes()
}
