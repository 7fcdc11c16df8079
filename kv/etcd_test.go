package kv

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// exchange is one request to a real etcd 3.7 and its answer, as testdata/record has written them down.
type exchange struct {
	Kind     string
	Request  json.RawMessage
	Response json.RawMessage
	Code     string
	Error    string
}

func recording(t *testing.T) (all []exchange) {
	f, err := os.Open("testdata/etcd-3.7.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x exchange
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("%d exchanges, %v", len(all), err)
	}
	return all
}

func TestAnswersAreThoseOfEtcd(t *testing.T) {
	f := newFixture(t)
	for i, x := range recording(t) {
		request, response := messages(t, x.Kind)
		parse(t, x.Request, request)
		got, err := f.ask(x.Kind, request)
		if code, text := errorText(err); code != x.Code || text != x.Error {
			t.Fatalf("exchange %d: %s %v\n got %s %s\nwant %s %s", i, x.Kind, request, code, text, x.Code, x.Error)
		}
		if err != nil {
			continue
		}
		parse(t, x.Response, response)
		if !proto.Equal(got, response) {
			t.Fatalf("exchange %d: %s %v\n got %v\nwant %v", i, x.Kind, request, got, response)
		}
	}
}

func messages(t *testing.T, kind string) (request, response proto.Message) {
	switch kind {
	case "put":
		return &pb.PutRequest{}, &pb.PutResponse{}
	case "delete":
		return &pb.DeleteRangeRequest{}, &pb.DeleteRangeResponse{}
	case "txn":
		return &pb.TxnRequest{}, &pb.TxnResponse{}
	case "compact":
		return &pb.CompactionRequest{}, &pb.CompactionResponse{}
	case "hash":
		return &pb.HashKVRequest{}, &pb.HashKVResponse{}
	case "range", "stream":
		return &pb.RangeRequest{}, &pb.RangeResponse{}
	}
	t.Fatalf("no such kind of exchange: %q", kind)
	return nil, nil
}

func parse(t *testing.T, text json.RawMessage, m proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func errorText(err error) (code, text string) {
	if err == nil {
		return "", ""
	}
	return status.Code(err).String(), status.Convert(err).Message()
}

// ask serves a request as the API does: validated, reads from the published state, writes through the log.
func (f *fixture) ask(kind string, request proto.Message) (proto.Message, error) {
	ctx := context.Background()
	switch r := request.(type) {
	case *pb.RangeRequest:
		if kind == "stream" {
			if err := ValidateRangeStream(r); err != nil {
				return nil, err
			}
			return answer(streamed(f.Store, r))
		}
		if err := ValidateRange(r); err != nil {
			return nil, err
		}
		return answer(listOf(f.Store, r))
	case *pb.HashKVRequest:
		return answer(f.HashKV(ctx, r.Revision))
	case *pb.TxnRequest:
		if err := ValidateTxn(r, 128); err != nil {
			return nil, err
		}
		if IsReadOnly(r) {
			return answer(f.Txn(ctx, r))
		}
	}
	return f.do(request)
}
