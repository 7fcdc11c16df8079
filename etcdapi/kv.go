package etcdapi

import (
	"context"
	"math/bits"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/kv"
)

// kvService serves etcdserverpb.KV. Reads are confirmed by the log, unless they are serializable, and answered by the
// store; writes are checked, proposed, and answered with what the store made of them.
type kvService struct {
	pb.UnsafeKVServer // a method that is missing does not compile
	*Server
}

// Range is for callers within the server; what comes from the network goes to list.
func (s *kvService) Range(ctx context.Context, r *pb.RangeRequest) (resp *pb.RangeResponse, err error) {
	err = s.read(ctx, r, func() error {
		resp, err = s.store.Range(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.fill(resp.Header)
	return resp, nil
}

// list is Range, with the answer on its way to the codec.
func (s *kvService) list(ctx context.Context, r *pb.RangeRequest) (*listing, error) {
	var l kv.Listing
	err := s.read(ctx, r, func() (err error) {
		l, err = s.store.List(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.fill(l.Head.Header)
	return &listing{Listing: l}, nil
}

// read checks a request, makes the store ready for it, and calls fn to answer it.
func (s *kvService) read(ctx context.Context, r *pb.RangeRequest, fn func() error) (err error) {
	if err := kv.ValidateRange(r); err != nil {
		return err
	}
	defer func(start time.Time) { s.metrics.ranges.observe(start, err) }(time.Now())
	if err := s.readyTo(ctx, r.Serializable); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return readError(ctx, err)
	}
	return nil
}

// RangeStream answers a Range in chunks. The last one alone has a header, with the revision that all of them were read at.
func (s *kvService) RangeStream(r *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	if err := kv.ValidateRangeStream(r); err != nil {
		return err
	}
	ctx := stream.Context()
	if err := s.readyTo(ctx, r.Serializable); err != nil {
		return err
	}
	err := s.store.RangeStream(ctx, r, func(chunk kv.Listing) error {
		if chunk.Head.Header != nil {
			s.sign(chunk.Head.Header)
		}
		return stream.SendMsg(&listing{Listing: chunk, chunk: true})
	})
	if err != nil {
		return readError(ctx, err)
	}
	return nil
}

func (s *kvService) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := kv.ValidatePut(r); err != nil {
		return nil, err
	}
	resp, err := s.write(ctx, r, s.metrics.puts)
	if err != nil {
		return nil, err
	}
	return resp.(*pb.PutResponse), nil
}

func (s *kvService) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if err := kv.ValidateDeleteRange(r); err != nil {
		return nil, err
	}
	resp, err := s.write(ctx, r, s.metrics.deleteRanges)
	if err != nil {
		return nil, err
	}
	return resp.(*pb.DeleteRangeResponse), nil
}

func (s *kvService) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := kv.ValidateTxn(r, s.maxTxnOps); err != nil {
		return nil, err
	}
	if kv.IsReadOnly(r) {
		return s.readTxn(ctx, r)
	}
	resp, err := s.write(ctx, r, s.metrics.txns)
	if err != nil {
		return nil, err
	}
	return resp.(*pb.TxnResponse), nil
}

// readTxn answers a transaction that cannot write, without the log.
func (s *kvService) readTxn(ctx context.Context, r *pb.TxnRequest) (resp *pb.TxnResponse, err error) {
	defer func(start time.Time) { s.metrics.readTxns.observe(start, err) }(time.Now())
	if err := s.readyTo(ctx, serializable(r)); err != nil {
		return nil, err
	}
	if resp, err = s.store.Txn(ctx, r); err != nil {
		return nil, readError(ctx, err)
	}
	s.fill(resp.Header)
	return resp, nil
}

// serializable reports whether every read of a read-only transaction is content with what this member has. One that only
// compares is not: etcd answers it from what may be stale, though nothing in it says that it may.
func serializable(r *pb.TxnRequest) bool {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if !op.GetRequestRange().GetSerializable() {
				return false
			}
		}
	}
	return len(r.Success)+len(r.Failure) > 0
}

// Compact answers once the compaction is decided, or, when it is to be physical, once what it frees is deleted here.
func (s *kvService) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	resp, err := s.write(ctx, r, s.metrics.compactions)
	if err != nil {
		return nil, err
	}
	s.logger.Info("the history is compacted", "revision", r.Revision)
	if r.Physical {
		if err := s.store.AwaitCompaction(ctx); err != nil {
			return nil, readError(ctx, err)
		}
	}
	return resp.(*pb.CompactionResponse), nil
}

// write proposes a request and returns its response with the header filled.
func (s *Server) write(ctx context.Context, r proto.Message, durations outcomeDurations) (resp proto.Message, err error) {
	caller, refusal := s.permit(ctx, r)
	if s.beyondQuota(r) { // which etcd tells also who may not write
		if refusal == nil {
			s.raiseNoSpace(ctx)
		}
		return nil, rpctypes.ErrGRPCNoSpace
	}
	command, err := kv.Encode(r)
	if err != nil {
		return nil, answerTo(err)
	}
	tooLarge := loggedSize(len(command)-1) > s.maxRequestBytes // a command is one byte and the request
	switch {
	case tooLarge && refusal != rpctypes.ErrGRPCInvalidAuthToken: // which etcd tells whomever it knows
		return nil, rpctypes.ErrGRPCRequestTooLarge
	case refusal != nil:
		return nil, answerTo(refusal)
	}
	defer func(start time.Time) { durations.observe(start, err) }(time.Now())
	answer, err := s.propose(ctx, MachineKV, kv.Admitted(caller, command))
	if err != nil {
		return nil, err
	}
	result := answer.(kv.Result)
	if result.Err != nil {
		return nil, answerTo(result.Err)
	}
	s.fill(result.Response.(interface{ GetHeader() *pb.ResponseHeader }).GetHeader())
	return result.Response, nil
}

// loggedSize is what etcd's limit applies to: a request of n bytes as etcd's own log has it, as a field of a message beside
// a header with an ID of nine bytes, so that the same requests are too large here and there.
func loggedSize(n int) int {
	const header, tag = 13, 1
	length := (bits.Len(uint(n)|1) + 6) / 7
	return header + tag + length + n
}

// propose replicates a command for one of the machines and returns what the machine made of it.
func (s *Server) propose(ctx context.Context, machine byte, command []byte) (any, error) {
	bounded, cancel := context.WithTimeout(ctx, s.requestTimeout)
	defer cancel()
	bounded, ended := s.tracing.proposal(bounded)
	answer, err := s.node.ProposeFrom(bounded, sourceOf(ctx), synod.Address(machine, command))
	ended(err)
	if err != nil {
		s.metrics.proposalsFailed.Inc()
		return nil, proposeError(bounded, err)
	}
	return answer, nil
}

// readyTo makes the store ready for a read. A serializable one is content with what the store has; but right after a start that may be less than this very
// member has shown before, so until one read has been confirmed since, every one is.
func (s *Server) readyTo(ctx context.Context, serializable bool) error {
	if serializable && s.caughtUp.Load() {
		return nil
	}
	return s.confirm(ctx)
}

// confirm returns once the store reflects every write that was acknowledged before the call.
func (s *Server) confirm(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, s.requestTimeout)
	defer cancel()
	_, ended := s.tracing.step(ctx, "confirm read")
	err := s.node.Read(bounded)
	ended(err)
	if err != nil {
		s.metrics.readsFailed.Inc()
		return readError(ctx, err)
	}
	s.caughtUp.Store(true)
	return nil
}
