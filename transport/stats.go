package transport

import "sync/atomic"

// PeerStats is what has passed between this member and one peer since Start, by Class.
type PeerStats struct {
	Node    uint64
	Classes [classes]ClassStats
}

// ClassStats counts frames and the bytes of their payloads.
type ClassStats struct {
	Connected bool   // Send can reach the peer
	Connects  uint64 // connections made to the peer

	FramesSent, BytesSent         uint64 // handed to the kernel
	FramesDropped, BytesDropped   uint64 // refused by Send, or queued for a connection that ended
	FramesReceived, BytesReceived uint64
	FramesQueued, BytesQueued     int
}

// Stats returns the figures of each peer, in the order in which they were given. They are read one by one, while traffic goes on.
func (t *Transport) Stats() []PeerStats {
	peers := t.peers.Load().list
	stats := make([]PeerStats, len(peers))
	for i, p := range peers {
		stats[i].Node = p.Node
		for class := range p.senders {
			s, r := p.senders[class], p.receivers[class]
			c := &stats[i].Classes[class]
			c.Connected, c.Connects = s.connected.Load(), s.connects.Load()
			c.FramesSent, c.BytesSent = s.sent.load()
			c.FramesDropped, c.BytesDropped = s.dropped.load()
			c.FramesReceived, c.BytesReceived = r.received.load()
			c.FramesQueued, c.BytesQueued = s.queue.size()
		}
	}
	return stats
}

// traffic counts frames and their payload.
type traffic struct{ frames, bytes atomic.Uint64 }

func (n *traffic) add(frames, bytes int) {
	n.frames.Add(uint64(frames))
	n.bytes.Add(uint64(bytes))
}

func (n *traffic) load() (frames, bytes uint64) { return n.frames.Load(), n.bytes.Load() }
