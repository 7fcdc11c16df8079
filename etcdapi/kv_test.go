package etcdapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
)

func TestReadsAreConfirmedByTheLogUnlessTheyAreSerializable(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "k", "v")
	op := func(serializable bool) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k"), Serializable: serializable}}}
	}
	ops := func(ops ...*pb.RequestOp) []*pb.RequestOp { return ops }
	txn := func(r *pb.TxnRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := s.kv().Txn(ctx, r); return err }
	}
	list := func(linearizable bool) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := pb.NewClusterClient(s.conn).MemberList(ctx, &pb.MemberListRequest{Linearizable: linearizable})
			return err
		}
	}
	read := func(serializable bool) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := s.kv().Range(ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: serializable})
			return err
		}
	}
	stream := func(serializable bool) func(context.Context) error {
		return func(ctx context.Context) error {
			chunks, err := s.kv().RangeStream(ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: serializable})
			if err != nil {
				return err
			}
			_, err = chunks.Recv()
			return err
		}
	}
	for _, c := range []struct {
		name  string
		ask   func(context.Context) error
		reads int64
	}{
		{"range", read(false), 1},
		{"serializable range", read(true), 0},
		{"stream", stream(false), 1},
		{"serializable stream", stream(true), 0},
		{"txn of reads", txn(&pb.TxnRequest{Success: ops(op(false))}), 1},
		{"txn with one linearizable read", txn(&pb.TxnRequest{Success: ops(op(true)), Failure: ops(op(true), op(false))}), 1},
		{"txn of serializable reads", txn(&pb.TxnRequest{Success: ops(op(true)), Failure: ops(op(true))}), 0},
		{"txn that only compares", txn(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("k")}}}), 1},
		{"member list", list(true), 1},
		{"serializable member list", list(false), 0},
	} {
		reads, proposals := s.node.reads.Load(), s.node.proposals.Load()
		if err := c.ask(t.Context()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := s.node.reads.Load() - reads; got != c.reads {
			t.Errorf("%s: %d confirmations, not %d", c.name, got, c.reads)
		}
		if got := s.node.proposals.Load() - proposals; got != 0 {
			t.Errorf("%s: %d commands went through the log", c.name, got)
		}

		// While the log confirms nothing, only what is content with stale answers may be answered.
		s.node.failWith(synod.ErrReadTimeout)
		if err := c.ask(t.Context()); (err != nil) != (c.reads > 0) {
			t.Errorf("%s, with no confirmation to be had: %v", c.name, err)
		}
		s.node.failWith(nil)
	}
}

func TestANestedTransactionGoesThroughTheLogEvenIfItOnlyReads(t *testing.T) {
	s := serve(t, nil)
	before := s.node.proposals.Load()
	nested := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{}}}
	if _, err := s.kv().Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{nested}}); err != nil {
		t.Fatal(err)
	}
	if got := s.node.proposals.Load() - before; got != 1 {
		t.Errorf("%d commands went through the log", got)
	}
}

func TestABadRequestIsRefusedBeforeTheLog(t *testing.T) {
	s := serve(t, nil)
	before := s.node.proposals.Load() + s.node.reads.Load()
	put := func(r *pb.PutRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
	}
	many := make([]*pb.RequestOp, 129)
	for i := range many {
		many[i] = put(&pb.PutRequest{Key: fmt.Append(nil, i)})
	}
	for _, c := range []struct {
		request proto.Message
		want    error
	}{
		{&pb.RangeRequest{}, rpctypes.ErrGRPCEmptyKey},
		{&pb.RangeRequest{Key: []byte("k"), SortOrder: 9}, rpctypes.ErrGRPCInvalidSortOption},
		{&pb.PutRequest{}, rpctypes.ErrGRPCEmptyKey},
		{&pb.PutRequest{Key: []byte("k"), Value: []byte("v"), IgnoreValue: true}, rpctypes.ErrGRPCValueProvided},
		{&pb.DeleteRangeRequest{}, rpctypes.ErrGRPCEmptyKey},
		{&pb.TxnRequest{Success: many}, rpctypes.ErrGRPCTooManyOps},
		{&pb.TxnRequest{Success: []*pb.RequestOp{{}}}, rpctypes.ErrGRPCKeyNotFound},
		{&pb.TxnRequest{Success: []*pb.RequestOp{many[0], many[0]}}, rpctypes.ErrGRPCDuplicateKey},
	} {
		if err := s.call(t.Context(), c.request); !sameStatus(err, c.want) {
			t.Errorf("%T: %v, not %v", c.request, err, c.want)
		}
	}
	stream, err := s.kv().RangeStream(t.Context(), &pb.RangeRequest{Key: []byte("k"), SortOrder: pb.RangeRequest_DESCEND})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a sorted stream: %v", err)
	}
	if after := s.node.proposals.Load() + s.node.reads.Load(); after != before {
		t.Errorf("the log was asked %d times", after-before)
	}
}

// call sends a request of the KV service.
func (s *serving) call(ctx context.Context, request proto.Message) error {
	var err error
	switch r := request.(type) {
	case *pb.RangeRequest:
		_, err = s.kv().Range(ctx, r)
	case *pb.PutRequest:
		_, err = s.kv().Put(ctx, r)
	case *pb.DeleteRangeRequest:
		_, err = s.kv().DeleteRange(ctx, r)
	case *pb.TxnRequest:
		_, err = s.kv().Txn(ctx, r)
	case *pb.CompactionRequest:
		_, err = s.kv().Compact(ctx, r)
	case *pb.LeaseGrantRequest:
		_, err = s.lease().LeaseGrant(ctx, r)
	case *pb.LeaseRevokeRequest:
		_, err = s.lease().LeaseRevoke(ctx, r)
	default:
		err = fmt.Errorf("%T is no request of the KV or the lease service", request)
	}
	return err
}

func sameStatus(got, want error) bool {
	return status.Code(got) == status.Code(want) && status.Convert(got).Message() == status.Convert(want).Message()
}

// writes are one request for each way into the log.
var writes = []proto.Message{
	&pb.PutRequest{Key: []byte("k")},
	&pb.DeleteRangeRequest{Key: []byte("k")},
	&pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}}},
	&pb.CompactionRequest{Revision: 1},
	&pb.CompactionRequest{Revision: 1, Physical: true},
}

func TestWhatTheLogSaysIsToldInEtcdsWords(t *testing.T) {
	s := serve(t, nil)
	reading := []proto.Message{&pb.RangeRequest{Key: []byte("k")}, &pb.TxnRequest{}}
	for _, c := range []struct {
		outcome     error
		write, read error
	}{
		{synod.ErrNoLeader, rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNoLeader},
		{synod.ErrOverloaded, rpctypes.ErrGRPCRequestTooManyRequests, rpctypes.ErrGRPCRequestTooManyRequests},
		{synod.ErrTooLarge, rpctypes.ErrGRPCRequestTooLarge, rpctypes.ErrGRPCRequestTooLarge},
		{synod.ErrClosed, rpctypes.ErrGRPCStopped, rpctypes.ErrGRPCStopped},
		{synod.ErrFailed, rpctypes.ErrGRPCStopped, rpctypes.ErrGRPCStopped},
		{synod.ErrRemoved, rpctypes.ErrGRPCStopped, rpctypes.ErrGRPCStopped},
		{synod.ErrUnknown, rpctypes.ErrGRPCTimeoutDueToLeaderFail, rpctypes.ErrGRPCTimeoutDueToLeaderFail},
		{synod.ErrReadTimeout, rpctypes.ErrGRPCTimeout, rpctypes.ErrGRPCTimeout},
		{fmt.Errorf("slot 9: %w", synod.ErrOverloaded), rpctypes.ErrGRPCRequestTooManyRequests, rpctypes.ErrGRPCRequestTooManyRequests},
		{errors.New("odd"), status.Error(codes.Unknown, "odd"), status.Error(codes.Unknown, "odd")},
	} {
		s.node.failWith(c.outcome)
		for _, r := range writes {
			if err := s.call(t.Context(), r); !sameStatus(err, c.write) {
				t.Errorf("%T, %v: told %v, not %v", r, c.outcome, err, c.write)
			}
		}
		for _, r := range reading {
			if err := s.call(t.Context(), r); !sameStatus(err, c.read) {
				t.Errorf("%T, %v: told %v, not %v", r, c.outcome, err, c.read)
			}
		}
	}
}

func TestAWriteWhoseTimeIsUpIsToldSo(t *testing.T) {
	s := serve(t, func(c *Config) { c.RequestTimeout = 10 * time.Millisecond })
	_, release := s.hold()
	defer release()
	patient, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for _, r := range writes {
		if err := s.call(patient, r); !sameStatus(err, rpctypes.ErrGRPCTimeout) {
			t.Errorf("%T: %v", r, err)
		}
	}
}

func TestEveryOutcomeHasAnAnswerForACallerWhoGaveUp(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for _, c := range []struct {
		name      string
		got, want error
	}{
		{"cancelled write", proposeError(over, synod.ErrUnknown), rpctypes.ErrGRPCCanceled},
		{"cancelled write, by the context", proposeError(over, context.Canceled), rpctypes.ErrGRPCCanceled},
		{"late write", proposeError(late, synod.ErrUnknown), rpctypes.ErrGRPCTimeout},
		{"late write that did not happen", proposeError(late, synod.ErrNoLeader), rpctypes.ErrGRPCNoLeader},
		{"cancelled read", readError(over, synod.ErrReadTimeout), status.Error(codes.Canceled, "context canceled")},
		{"late read", readError(late, synod.ErrReadTimeout), status.Error(codes.DeadlineExceeded, "context deadline exceeded")},
		{"read that was late here", readError(context.Background(), context.DeadlineExceeded), rpctypes.ErrGRPCTimeout},
		{"read of the compacted", readError(context.Background(), rpctypes.ErrGRPCCompacted), rpctypes.ErrGRPCCompacted},
	} {
		if !sameStatus(c.got, c.want) {
			t.Errorf("%s: %v, not %v", c.name, c.got, c.want)
		}
	}
}

func TestARequestIsTooLargeWhoeverAsksButForAForgedToken(t *testing.T) {
	s := serve(t, cheap)
	s.enable(t)
	large := &pb.PutRequest{Key: []byte("not-alices"), Value: make([]byte, DefaultMaxRequestBytes)}
	forged := metadata.AppendToOutgoingContext(t.Context(), "token", "none")
	for caller, want := range map[context.Context]error{
		t.Context(): rpctypes.ErrGRPCRequestTooLarge, s.login(t, "alice"): rpctypes.ErrGRPCRequestTooLarge, forged: rpctypes.ErrGRPCInvalidAuthToken,
	} {
		if err := s.call(caller, large); !sameStatus(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
}

func TestARequestIsTooLargeExactlyBeyondTheLimit(t *testing.T) {
	const limit = 1000
	s := serve(t, func(c *Config) { c.MaxRequestBytes = limit })
	sized := func(n int) *pb.PutRequest {
		r := &pb.PutRequest{Key: []byte("k")}
		for r.Value = make([]byte, n); proto.Size(r) > n; r.Value = r.Value[1:] {
		}
		return r
	}
	// A header of 13 bytes, and a tag and two bytes of length around the request.
	largest := limit - 13 - 1 - 2
	if err := s.call(t.Context(), sized(largest)); err != nil {
		t.Errorf("%d bytes: %v", largest, err)
	}
	before := s.node.proposals.Load()
	if err := s.call(t.Context(), sized(largest+1)); !sameStatus(err, rpctypes.ErrGRPCRequestTooLarge) {
		t.Errorf("%d bytes: %v", largest+1, err)
	}
	err := s.call(t.Context(), sized(limit+wireOverhead+1))
	want := status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. %d)", limit+wireOverhead+1, limit+wireOverhead)
	if !sameStatus(err, want) {
		t.Errorf("beyond the wire's limit: %v", err)
	}
	if after := s.node.proposals.Load(); after != before {
		t.Error("a request that is too large was proposed")
	}
}

func TestTheLoggedSizeIsThatOfEtcdsOwnLog(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 1 << 20} {
		value := bytes.Repeat([]byte{'v'}, n)
		put := &pb.PutRequest{Value: value}
		logged := proto.Size(&pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 1 << 62}, Put: put})
		if got := loggedSize(proto.Size(put)); got != logged {
			t.Errorf("%d bytes: %d, not %d (%d bits)", n, got, logged, bits.Len(uint(n)))
		}
	}
}

func TestARequestThatWantsALeaderIsRefusedWhileThereIsNone(t *testing.T) {
	s := serve(t, nil)
	wanting := metadata.AppendToOutgoingContext(t.Context(), rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	local := &pb.RangeRequest{Key: []byte("k"), Serializable: true}
	stream := func(ctx context.Context) error {
		chunks, err := s.kv().RangeStream(ctx, local)
		if err == nil {
			_, err = chunks.Recv()
		}
		return err
	}
	for _, leader := range []bool{true, false} {
		s.node.leaderless.Store(!leader)
		for name, err := range map[string]error{"unary": s.call(wanting, local), "stream": stream(wanting)} {
			if want := error(nil); leader && err != want {
				t.Errorf("%s, with a leader: %v", name, err)
			} else if !leader && !sameStatus(err, rpctypes.ErrGRPCNoLeader) {
				t.Errorf("%s, without one: %v", name, err)
			}
		}
		if err := errors.Join(s.call(t.Context(), local), stream(t.Context())); err != nil {
			t.Errorf("without the wish: %v", err)
		}
	}
}

func TestAStreamIsARangeInChunks(t *testing.T) {
	s := serve(t, nil)
	for i := range 100 {
		s.mustPut(t, fmt.Sprintf("k%03d", i), strings.Repeat("v", i))
	}
	r := &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Limit: 90}
	want, err := s.kv().Range(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.kv().RangeStream(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	got, chunks := &pb.RangeResponse{}, 0
	for ; ; chunks++ {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.Header != nil {
			t.Error("a chunk followed the one with the header")
		}
		proto.Merge(got, chunk.RangeResponse)
	}
	if !proto.Equal(got, want) || chunks < 2 {
		t.Errorf("%d chunks come to %v, not %v", chunks, got, want)
	}
}

// TestASerializableReadAfterAStartShowsNothingOlderThanBeforeIt: a member that was killed comes back with the store of its last flush, and must not show that.
func TestASerializableReadAfterAStartShowsNothingOlderThanBeforeIt(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "a", "1")
	read := &pb.RangeRequest{Key: []byte("a"), Serializable: true}
	for name, ask := range map[string]func() error{
		"range": func() error { _, err := s.kv().Range(t.Context(), read); return err },
		"transaction": func() error {
			op := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: read}}
			_, err := s.kv().Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{op}})
			return err
		},
		"stream": func() error {
			stream, err := s.kv().RangeStream(t.Context(), read)
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	} {
		s.caughtUp.Store(false) // as after a start
		s.node.failWith(synod.ErrReadTimeout)
		if err := ask(); status.Code(err) != codes.Unavailable {
			t.Errorf("%s before the store has caught up: %v", name, err)
		}
		s.node.failWith(nil)
		if err := ask(); err != nil {
			t.Errorf("%s once it can: %v", name, err)
		}
		s.node.failWith(synod.ErrReadTimeout)
		if err := ask(); err != nil {
			t.Errorf("%s once it has: %v", name, err)
		}
	}
	s.node.failWith(nil)
}
