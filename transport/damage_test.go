package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// framesBegin is where the first frame lies in what the dialling side sends, when there is no greeting.
const framesBegin = messageHeaderSize + helloSize + messageHeaderSize

// through runs nodes 1 and 2, the first of which reaches the second through a proxy and the second the first not at all.
func through(t *testing.T, tamper tamper, hooks ...func(*Config, *recorder)) (a, b *node) {
	t.Helper()
	b = start(t, 2, listen(t, "127.0.0.1:0"), []Peer{{1, nowhere}}, hooks...)
	p := startProxy(t, b.address, tamper)
	return start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, p.address()}}, hooks...), b
}

// awaitStats waits until the figures for a node's first peer satisfy ok.
func awaitStats(t *testing.T, n *node, what string, ok func(PeerStats) bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !ok(n.Stats()[0]) {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %+v", what, n.Stats())
		}
	}
}

// offsets tells, piece by piece, where in its connection a piece begins.
type offsets struct {
	mu   sync.Mutex
	next map[int]int
}

func (o *offsets) advance(connection, n int) (begin int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next == nil {
		o.next = make(map[int]int)
	}
	begin = o.next[connection]
	o.next[connection] += n
	return begin
}

func TestFlippedBitOnTheWayIsNeverDeliveredAndHeals(t *testing.T) {
	// One class at a time, one bit on each connection: in the hello, in a header, in a payload.
	flips := []int{20, framesBegin + 1, framesBegin + 5, framesBegin + 12, framesBegin + frameHeaderSize + 3}
	var sent offsets
	a, b := through(t, func(connection int, way direction, piece []byte) ([]byte, error) {
		if way == back {
			return piece, nil
		}
		begin := sent.advance(connection, len(piece))
		if n := (connection - 1) / classes; n < len(flips) { // each class dials once in each round
			if at := flips[n] - begin; at >= 0 && at < len(piece) {
				piece[at] ^= 0x10
			}
		}
		return piece, nil
	})
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		ticker := time.NewTicker(100 * time.Microsecond)
		defer ticker.Stop()
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			for class := range Class(classes) {
				a.Send(2, class, pattern(i))
			}
		}
	})
	for healed := [classes]int{}; min(healed[0], healed[1], healed[2]) < 100; {
		f := await(t, b.frames, "sound frame")
		if !bytes.Equal(f.payload, pattern(binary.LittleEndian.Uint64(f.payload))) {
			t.Fatalf("a damaged frame was delivered: %x", f.payload)
		}
		healed[f.class]++
	}
	close(stop)
	sending.Wait()
	awaitStats(t, a, "a connection after each of the damaged", func(s PeerStats) bool {
		return s.Classes[0].Connects+s.Classes[1].Connects+s.Classes[2].Connects > uint64(len(flips))
	})
	for _, damage := range []string{"handshake message is malformed", errFrameHeader.Error(), errFramePayload.Error()} {
		awaitValue(t, b.log.written, "log line: "+damage, func(line string) bool { return strings.Contains(line, damage) })
	}
}

// pattern is a payload that tells whether a bit of it has changed.
func pattern(i uint64) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, i), 8)
}

func TestConnectionCutInMidFrameDeliversNoPartOfIt(t *testing.T) {
	first := []byte("whole")
	second := bytes.Repeat([]byte("half"), 1000)
	cutAt := framesBegin + len(encodeFrames(Control, first)) + frameHeaderSize + len(second)/2
	var sent offsets
	a, b := through(t, func(connection int, way direction, piece []byte) ([]byte, error) {
		if way == forward && connection <= classes {
			if room := cutAt - sent.advance(connection, len(piece)); room <= len(piece) {
				return piece[:max(room, 0)], errCut
			}
		}
		return piece, nil
	})
	await(t, a.connected, "connection")
	a.mustSend(t, 2, Control, first)
	a.mustSend(t, 2, Control, second)
	await(t, a.disconnected, "disconnection")
	await(t, a.connected, "connection after the cut")
	a.mustSend(t, 2, Control, []byte("after"))
	for _, want := range []string{"whole", "after"} {
		if f := await(t, b.frames, "frame"); string(f.payload) != want {
			t.Errorf("received %.20q, want %q", f.payload, want)
		}
	}
}

func TestFrameAboveThePeersLimitEndsOnlyItsConnection(t *testing.T) {
	a, b := pair(t, func(cfg *Config, _ *recorder) {
		if cfg.Self.Node == 2 {
			cfg.MaxFrameBytes = 1000
		}
	})
	a.mustSend(t, 2, Background, make([]byte, 1001))
	await(t, a.disconnected, "disconnection")
	awaitValue(t, b.log.written, "log line", func(line string) bool { return strings.Contains(line, "1001 bytes where 1000 are allowed") })
	a.mustSend(t, 2, Control, []byte("unharmed"))
	if f := await(t, b.frames, "frame"); string(f.payload) != "unharmed" {
		t.Errorf("received %d bytes", len(f.payload))
	}
	await(t, a.connected, "connection again")
}

func TestBlackHoleIsNoticedAndWhatIsQueuedIsLetGo(t *testing.T) {
	var swallowing atomic.Bool
	noticed := make(chan struct{})
	notice := sync.OnceFunc(func() { close(noticed) })
	defer notice()
	a, b := through(t, func(_ int, _ direction, piece []byte) ([]byte, error) {
		if swallowing.Load() {
			if len(piece) == 0 {
				<-noticed // neither side learns that the other has closed
			}
			return nil, nil // the network still acknowledges every byte
		}
		return piece, nil
	}, func(cfg *Config, _ *recorder) {
		cfg.IdleTimeout, cfg.HandshakeTimeout = 2*time.Second, 2*time.Second
	})
	await(t, a.connected, "connection")
	swallowing.Store(true)
	a.mustSend(t, 2, Control, []byte("into the void"))
	if why := await(t, a.disconnected, "disconnection"); !errors.Is(why, errSilent) {
		t.Errorf("disconnected because: %v", why)
	}
	notice()
	awaitStats(t, a, "an empty queue", func(s PeerStats) bool {
		return s.Classes[Control].FramesQueued == 0 && s.Classes[Control].BytesQueued == 0
	})
	swallowing.Store(false)
	await(t, a.connected, "connection after the black hole")
	a.mustSend(t, 2, Control, []byte("hello again"))
	if f := await(t, b.frames, "frame"); string(f.payload) != "hello again" {
		t.Errorf("received %q", f.payload)
	}
}

func TestPeerThatStopsReadingDoesNotHoldTheQueueForEver(t *testing.T) {
	release := make(chan struct{})
	a, _ := pair(t, func(cfg *Config, r *recorder) {
		cfg.IdleTimeout = 2 * time.Second
		cfg.MaxFrameBytes, cfg.QueueBytes = 1<<20, 64<<20
		r.receive = func(received) { <-release }
	})
	defer close(release)
	megabyte := make([]byte, 1<<20)
	for a.Send(2, Background, megabyte) {
	}
	if why := await(t, a.disconnected, "disconnection"); !errors.Is(why, errSilent) {
		t.Errorf("disconnected because: %v", why)
	}
	awaitStats(t, a, "the queue to be dropped", func(s PeerStats) bool {
		c := s.Classes[Background]
		return c.FramesDropped > 1 && c.BytesQueued == 0
	})
}
