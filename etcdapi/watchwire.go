package etcdapi

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/kv"
)

// inlineEvents is up to how many bytes of events are copied behind what comes before them, which is cheaper than to send another buffer.
const inlineEvents = 4 << 10

// encodedWatch is a WatchResponse on its way to the codec: what is its own, and events that were encoded once for all watchers. The fields of a
// protobuf message may come one after the other, so the whole is the parts in a row.
type encodedWatch mem.BufferSlice

// sender is a stream as far as it is sent to.
type sender interface{ SendMsg(m any) error }

// watchSender sends the responses of one stream.
type watchSender struct {
	server *Server
	stream sender
	head   pb.WatchResponse // all but the events; used again for each
}

// send sends a response, in parts if it is large and its client wants that.
func (to *watchSender) send(r kv.WatchResponse) error {
	h := &to.head
	to.server.sign(h.Header)
	h.Header.Revision, h.WatchId, h.Created = r.Revision, r.ID, r.Created
	h.Canceled, h.CancelReason, h.CompactRevision = r.Canceled, r.CancelReason, r.CompactRevision
	for events := r.Events; ; {
		part := events
		if r.Fragment {
			h.Fragment = true // for its size
			part = events[:fitting(events, to.server.maxRequestBytes+wireOverhead-proto.Size(h))]
			h.Fragment = len(part) < len(events)
		}
		if err := to.sendPart(part); err != nil {
			return err
		}
		if events = events[len(part):]; len(events) == 0 {
			h.Fragment = false
			return nil
		}
	}
}

func (to *watchSender) sendPart(events []byte) error {
	size := proto.Size(&to.head)
	inline := len(events) <= inlineEvents
	if inline {
		size += len(events)
	}
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, size), &to.head)
	if err != nil {
		return err
	}
	if inline {
		return to.stream.SendMsg(encodedWatch{mem.SliceBuffer(append(b, events...))})
	}
	return to.stream.SendMsg(encodedWatch{mem.SliceBuffer(b), mem.SliceBuffer(events)})
}

// fitting returns how many bytes whole events take of those that are less than some bytes; the first is among them however large it is.
func fitting(events []byte, bytes int) int {
	end := 0
	for end < len(events) {
		_, _, n := protowire.ConsumeField(events[end:])
		if end > 0 && end+n >= bytes {
			break
		}
		end += n
	}
	return end
}
