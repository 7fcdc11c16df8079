package e2e

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// explanations are the differences that are meant to be, each with the one form that it may take. docs/etcd-api.md tells why. Whatever else differs fails the run.
var explanations = []struct {
	name     string
	explains func(g *generator, r request, etcd, synod answer) bool
}{
	{"a read while CORRUPT is raised: etcd serves it, Synod refuses", func(g *generator, r request, _, synod answer) bool {
		read := false
		switch m := r.Message.(type) {
		case *pb.RangeRequest:
			read = true
		case *pb.TxnRequest:
			read = onlyReads(m)
		}
		return read && len(g.corrupt) > 0 && synod.says(rpctypes.ErrGRPCCorrupt)
	}},
}

// explanation returns the name of the explanation for a difference, "" if there is none.
func (g *generator) explanation(r request, etcd, synod answer) string {
	for _, e := range explanations {
		if e.explains(g, r, etcd, synod) {
			return e.name
		}
	}
	return ""
}

func (a answer) says(err error) bool {
	return a.err != nil && status.Code(a.err) == status.Code(err) && status.Convert(a.err).Message() == status.Convert(err).Message()
}

// onlyReads reports whether etcd takes a transaction for one that need not go through the log.
func onlyReads(r *pb.TxnRequest) bool {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if op.GetRequestRange() == nil {
				return false
			}
		}
	}
	return true
}

func TestNothingIsExplainedButReadsWhileCorruptIsRaised(t *testing.T) {
	read, put := &pb.RangeRequest{Key: []byte("k")}, &pb.PutRequest{Key: []byte("k")}
	readOp, putOp := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: read}}, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	for _, c := range []struct {
		name      string
		req       proto.Message
		raised    bool
		synod     error
		explained bool
	}{
		{"a read", read, true, rpctypes.ErrGRPCCorrupt, true},
		{"a read, without the alarm", read, false, rpctypes.ErrGRPCCorrupt, false},
		{"a read that is refused otherwise", read, true, rpctypes.ErrGRPCNoSpace, false},
		{"a read that is served", read, true, nil, false},
		{"a put", put, true, rpctypes.ErrGRPCCorrupt, false},
		{"a transaction that reads", &pb.TxnRequest{Success: []*pb.RequestOp{readOp}}, true, rpctypes.ErrGRPCCorrupt, true},
		{"a transaction that may put", &pb.TxnRequest{Failure: []*pb.RequestOp{readOp, putOp}}, true, rpctypes.ErrGRPCCorrupt, false},
	} {
		g := newGenerator(1, true)
		if c.raised {
			g.corrupt[5] = true
		}
		served := answer{response: &pb.RangeResponse{}}
		synod := answer{response: &pb.RangeResponse{More: true}}
		if c.synod != nil {
			synod = answer{err: c.synod}
		}
		if why := g.explanation(request{Message: c.req}, served, synod); (why != "") != c.explained {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}
