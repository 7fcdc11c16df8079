package synod

import (
	"encoding/binary"
	"math"
	"sync"
	"time"
)

// What members say to each other to transfer a snapshot. The receiver asks for one chunk at a time and draws the transfer's number. Little endian; a newer version may append fields.
//
//	fetch: transfer 8, index of the chunk 4
//	chunk: transfer 8, index 4, verdict 1, the chunk
type fetchRequest struct {
	transfer uint64
	index    uint32 // fetchEnd: nothing more, the sender may forget the transfer
}

type fetchAnswer struct {
	transfer uint64
	index    uint32
	verdict  verdict
	chunk    []byte
}

const fetchEnd = math.MaxUint32

// verdict says why there is no chunk.
type verdict byte

const (
	chunkGiven     verdict = 0
	transferGone   verdict = 1 // the sender does not know it, or knows it no more
	senderBusy     verdict = 2
	senderHasNone  verdict = 3 // it has no machine
	fetchBytes             = 8 + 4
	chunkHeadBytes         = 8 + 4 + 1
)

var verdicts = [...]string{transferGone: "it does not know the transfer any more", senderBusy: "it is sending to others", senderHasNone: "it has no state machine"}

func (v verdict) String() string {
	if int(v) < len(verdicts) && verdicts[v] != "" {
		return verdicts[v]
	}
	return "it answers what this version does not know"
}

func (r fetchRequest) encode() []byte {
	b := append(make([]byte, 0, 1+fetchBytes), frameFetch)
	b = binary.LittleEndian.AppendUint64(b, r.transfer)
	return binary.LittleEndian.AppendUint32(b, r.index)
}

func decodeFetch(b []byte) (r fetchRequest, ok bool) {
	if len(b) < fetchBytes {
		return r, false
	}
	return fetchRequest{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])}, true
}

// encodeHead encodes all but the chunk.
func (a fetchAnswer) encodeHead() []byte {
	b := append(make([]byte, 0, 1+chunkHeadBytes), frameChunk)
	b = binary.LittleEndian.AppendUint64(b, a.transfer)
	b = binary.LittleEndian.AppendUint32(b, a.index)
	return append(b, byte(a.verdict))
}

// decodeChunk reads an answer; its chunk aliases b.
func decodeChunk(b []byte) (a fetchAnswer, ok bool) {
	if len(b) < chunkHeadBytes {
		return a, false
	}
	return fetchAnswer{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), verdict(b[12]), b[chunkHeadBytes:]}, true
}

// pace spreads bytes over time. It is safe for concurrent use.
type pace struct {
	bytesPerSecond int64

	mu   sync.Mutex
	next time.Time // when the next bytes may go
}

// reserve takes its turn for some bytes and returns how long to wait before they go.
func (p *pace) reserve(bytes int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(bytes) / float64(p.bytesPerSecond) * float64(time.Second)))
	return wait
}
