package etcdapi

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"synod.dev/synod/kv"
)

// listing is a RangeResponse on its way to the codec, or a RangeStreamResponse with one in it. The fields of a protobuf message may come one after the other, so the
// response is its head and the pairs that were encoded when they were read, in a row.
type listing struct {
	kv.Listing
	chunk bool // of a stream
}

// rangeResponseField is the number of RangeStreamResponse's only field.
const rangeResponseField protowire.Number = 1

// encode is called once: what it returns has the listing's buffers, which are freed when they have been sent.
func (l *listing) encode(codec encoding.CodecV2) (mem.BufferSlice, error) {
	b, err := codec.Marshal(l.Head)
	if err != nil {
		l.Pairs.Free()
		return nil, err
	}
	b = append(b, l.Pairs...)
	if !l.chunk {
		return b, nil
	}
	head := protowire.AppendTag(nil, rangeResponseField, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(b.Len()))
	return slices.Insert(b, 0, mem.Buffer(mem.SliceBuffer(head))), nil
}

// listingKV is a description of the service KV in which Range answers with a listing: the generated one has no way to say that.
func listingKV(service grpc.ServiceDesc) *grpc.ServiceDesc {
	service.Methods = slices.Clone(service.Methods)
	for i, method := range service.Methods {
		if "/"+service.ServiceName+"/"+method.MethodName == pb.KV_Range_FullMethodName {
			service.Methods[i].Handler = handleRange
		}
	}
	return &service
}

// handleRange is what protoc generates, but for the type of the answer.
func handleRange(service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	r := new(pb.RangeRequest)
	if err := decode(r); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: service, FullMethod: pb.KV_Range_FullMethodName}
	return intercept(ctx, r, info, func(ctx context.Context, r any) (any, error) {
		return service.(*kvService).list(ctx, r.(*pb.RangeRequest))
	})
}
