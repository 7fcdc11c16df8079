package etcdapi

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv"
)

// watchMessage is a WatchResponse on its way to the codec: what is its own, and events that were encoded once for all watchers. The fields of a
// protobuf message may come one after the other, so the whole is the parts in a row.
type watchMessage struct {
	head   []byte
	events [][]byte
}

func (m *watchMessage) encoded() mem.BufferSlice {
	b := make(mem.BufferSlice, 0, 1+len(m.events))
	b = append(b, mem.SliceBuffer(m.head))
	for _, e := range m.events {
		b = append(b, mem.SliceBuffer(e))
	}
	return b
}

// sender is a stream as far as it is sent to.
type sender interface{ SendMsg(m any) error }

// send sends a response, in parts if it is large and its client wants that.
func (s *watchService) send(stream sender, r kv.WatchResponse) error {
	h := &pb.ResponseHeader{Revision: r.Revision}
	s.sign(h)
	head := &pb.WatchResponse{
		Header: h, WatchId: r.ID, Created: r.Created, Canceled: r.Canceled,
		CancelReason: r.CancelReason, CompactRevision: r.CompactRevision,
	}
	for events := r.Events; ; {
		part := events
		if r.Fragment {
			head.Fragment = true // for its size
			part = events[:fitting(events, s.maxRequestBytes+wireOverhead-proto.Size(head))]
			head.Fragment = len(part) < len(events)
		}
		b, err := proto.Marshal(head)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&watchMessage{b, part}); err != nil {
			return err
		}
		if events = events[len(part):]; len(events) == 0 {
			return nil
		}
	}
}

// fitting returns how many events take less than some bytes, but one at least.
func fitting(events [][]byte, bytes int) int {
	size := 0
	for i, e := range events {
		if size += len(e); i > 0 && size >= bytes {
			return i
		}
	}
	return len(events)
}
