package load

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// tally is a codec that turns a response into a number without decoding it, so that the client costs less than the server.
type tally struct {
	encoding.CodecV2
	of func(mem.BufferSlice) (int64, error)
}

// tallied is for calls whose responses are received into an *int64.
func tallied(of func(mem.BufferSlice) (int64, error)) grpc.CallOption {
	return grpc.ForceCodecV2(tally{encoding.GetCodecV2(grpcproto.Name), of})
}

func (t tally) Unmarshal(message mem.BufferSlice, v any) (err error) {
	n, ok := v.(*int64)
	if !ok {
		return t.CodecV2.Unmarshal(message, v)
	}
	*n, err = t.of(message)
	return err
}

// size is how many bytes a response has.
func size(message mem.BufferSlice) (int64, error) { return int64(message.Len()), nil }

const eventsField protowire.Number = 11

// events is how many events a WatchResponse has.
func events(message mem.BufferSlice) (n int64, err error) {
	for b := message.Materialize(); len(b) > 0; {
		number, kind, length := protowire.ConsumeField(b)
		if length < 0 {
			return 0, fmt.Errorf("malformed watch response: %w", protowire.ParseError(length))
		}
		if number == eventsField && kind == protowire.BytesType {
			n++
		}
		b = b[length:]
	}
	return n, nil
}
