package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"synod.dev/synod/internal/freeport"
)

func TestFramesOfOneClassArriveInOrder(t *testing.T) {
	a, b := pair(t)
	const frames = 5000
	for class := range Class(classes) {
		for i := range uint64(frames) {
			a.mustSend(t, 2, class, binary.LittleEndian.AppendUint64(nil, i), make([]byte, i%3000))
		}
	}
	var next [classes]uint64
	for range classes * frames {
		f := await(t, b.frames, "frame")
		if want := (Identity{testCluster, 1, 101}); f.from != want {
			t.Fatalf("frame from %v, want %v", f.from, want)
		}
		if got := binary.LittleEndian.Uint64(f.payload); got != next[f.class] || uint64(len(f.payload)) != 8+got%3000 {
			t.Fatalf("%v frame %d of %d bytes, want %d", f.class, got, len(f.payload), next[f.class])
		}
		next[f.class]++
	}
}

func TestLargeFrameInPartsArrivesWhole(t *testing.T) {
	a, b := pair(t)
	var parts [][]byte
	for i := range 9 {
		parts = append(parts, bytes.Repeat([]byte{byte(i), byte(i + 1), 7}, i*i*i*i*i*10+i))
	}
	a.mustSend(t, 2, Background, parts...)
	a.mustSend(t, 2, Background)
	whole := bytes.Join(parts, nil)
	if f := await(t, b.frames, "large frame"); !bytes.Equal(f.payload, whole) {
		t.Fatalf("%d bytes arrived, not the %d sent", len(f.payload), len(whole))
	}
	if f := await(t, b.frames, "empty frame"); len(f.payload) != 0 {
		t.Fatalf("an empty frame arrived as %q", f.payload)
	}
}

func TestThreeMembersSendEachOtherTheSameSlice(t *testing.T) {
	var listeners []net.Listener
	var members []Peer
	for id := range uint64(3) {
		l := listen(t, "127.0.0.1:0")
		listeners = append(listeners, l)
		members = append(members, Peer{id + 1, l.Addr().String()})
	}
	var nodes []*node
	for i, l := range listeners {
		var others []Peer
		others = append(others, members[:i]...)
		others = append(others, members[i+1:]...)
		nodes = append(nodes, start(t, members[i].Node, l, others))
	}
	record := bytes.Repeat([]byte("record"), 1000)
	for _, n := range nodes {
		await(t, n.connected, "first connection")
		await(t, n.connected, "second connection")
		for _, p := range n.cfg.Peers {
			n.mustSend(t, p.Node, Replication, []byte{byte(n.cfg.Self.Node)}, record)
		}
	}
	for _, n := range nodes {
		heard := map[uint64]bool{}
		for range 2 {
			f := await(t, n.frames, "frame")
			if f.payload[0] != byte(f.from.Node) || !bytes.Equal(f.payload[1:], record) {
				t.Errorf("node %d received %d altered bytes from %d", n.cfg.Self.Node, len(f.payload), f.from.Node)
			}
			heard[f.from.Node] = true
		}
		if len(heard) != 2 || heard[n.cfg.Self.Node] {
			t.Errorf("node %d heard %v", n.cfg.Self.Node, heard)
		}
	}
}

func TestSendDropsWhatCannotBeSent(t *testing.T) {
	a := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, nowhere}})
	if a.Send(3, Control, []byte("x")) {
		t.Error("a frame to an unknown node was taken")
	}
	if a.Send(2, Control, []byte("seven b"), nil, []byte("x")) {
		t.Error("a frame to a node that is not connected was taken")
	}
	if got := a.Stats()[0].Classes[Control]; got != (ClassStats{FramesDropped: 1, BytesDropped: 8}) {
		t.Errorf("after one frame was dropped: %+v", got)
	}
	b, _ := pair(t, func(cfg *Config, _ *recorder) { cfg.MaxFrameBytes = 10 })
	if b.Send(2, Control, make([]byte, 5), make([]byte, 6)) {
		t.Error("a frame above the maximum was taken")
	}
	b.mustSend(t, 2, Control, make([]byte, 5), make([]byte, 5))
}

func TestQueueIsBoundedAndWhatItTookArrives(t *testing.T) {
	for name, bound := range map[string]struct{ frames, bytes, payload int }{
		"by frames": {100, 1 << 20, 64},
		"by bytes":  {1 << 20, 4 << 20, 100 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			entered, stuck := make(chan struct{}, 1), make(chan struct{})
			release := sync.OnceFunc(func() { close(stuck) })
			defer release()
			a, b := pair(t, func(cfg *Config, r *recorder) {
				cfg.MaxFrameBytes, cfg.QueueFrames, cfg.QueueBytes = 1<<20, bound.frames, bound.bytes
				r.receive = func(f received) {
					offer(entered, struct{}{})
					<-stuck
					r.frames <- f
				}
			})
			taken := 0
			number := make([]byte, 8)
			fill := make([]byte, bound.payload-8)
			for a.Send(2, Background, binary.LittleEndian.AppendUint64(nil, uint64(taken)), fill) {
				if taken++; taken == 1 {
					await(t, entered, "first frame")
				}
				if taken > 1<<20 {
					t.Fatal("the queue takes without end")
				}
			}
			got := a.Stats()[0].Classes[Background]
			if got.FramesQueued > bound.frames || got.BytesQueued > bound.bytes || got.FramesDropped != 1 {
				t.Errorf("the bound is %+v, and the queue holds %+v", bound, got)
			}
			release()
			for i := range taken {
				copy(number, await(t, b.frames, "frame").payload)
				if n := binary.LittleEndian.Uint64(number); n != uint64(i) {
					t.Fatalf("frame %d arrived in place of %d of %d", n, i, taken)
				}
			}
		})
	}
}

func TestControlPassesWhileBulkIsStuck(t *testing.T) {
	release := make(chan struct{})
	var b *node
	ready := make(chan struct{})
	a, b := pair(t, func(cfg *Config, r *recorder) {
		node := cfg.Self.Node
		r.receive = func(f received) {
			switch {
			case f.class != Control:
				<-release
			case node == 1:
				r.frames <- f
			default:
				<-ready
				b.Send(1, Control, f.payload)
			}
		}
	})
	close(ready)
	defer close(release)
	megabyte := make([]byte, 1<<20)
	for _, class := range []Class{Replication, Background} {
		for a.Send(2, class, megabyte) {
		}
	}
	for i := range 1000 {
		a.mustSend(t, 2, Control, numbered(i))
		if f := await(t, a.frames, "answer past the bulk"); !bytes.Equal(f.payload, numbered(i)) {
			t.Fatalf("answer %d is %q", i, f.payload)
		}
	}
	for _, class := range []Class{Replication, Background} {
		if got := b.Stats()[0].Classes[class].FramesReceived; got > 1 {
			t.Errorf("%d frames of %v were received: nothing was stuck", got, class)
		}
	}
}

func TestPeerThatReturnsWithAnotherDiskIsAdmittedAnew(t *testing.T) {
	var mu sync.Mutex
	var admitted []uint64
	a, b := pair(t, func(cfg *Config, r *recorder) {
		if cfg.Self.Node == 1 {
			r.admit = func(who Identity, greeting []byte) error {
				mu.Lock()
				defer mu.Unlock()
				admitted = append(admitted, who.Incarnation)
				return nil
			}
		}
	})
	a.mustSend(t, 2, Control, []byte("to the first"))
	await(t, b.frames, "frame")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, a.disconnected, "disconnection")
	b = start(t, 2, listen(t, b.address), []Peer{{1, a.address}}, func(cfg *Config, _ *recorder) { cfg.Self.Incarnation = 999 })
	if who := await(t, a.connected, "connection to the new disk"); who != (Identity{testCluster, 2, 999}) {
		t.Errorf("connected to %+v", who)
	}
	a.mustSend(t, 2, Control, []byte("to the second"))
	if f := await(t, b.frames, "frame"); string(f.payload) != "to the second" {
		t.Errorf("the new disk received %q", f.payload)
	}
	await(t, b.connected, "connection from the new disk")
	b.mustSend(t, 1, Control, []byte("from the second"))
	if f := await(t, a.frames, "frame"); f.from.Incarnation != 999 {
		t.Errorf("a frame of the new disk came as from %+v", f.from)
	}
	mu.Lock()
	defer mu.Unlock()
	count := map[uint64]int{}
	for _, incarnation := range admitted {
		count[incarnation]++
	}
	if count[102] < classes || count[999] < classes {
		t.Errorf("Admit was asked about %v", admitted)
	}
}

func TestRefusalByEitherSideKeepsBothApartAndIsTold(t *testing.T) {
	for _, refuser := range []uint64{1, 2} {
		t.Run(fmt.Sprintf("by node %d", refuser), func(t *testing.T) {
			la, lb := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
			hook := func(cfg *Config, r *recorder) {
				if cfg.Self.Node == refuser {
					r.admit = func(who Identity, _ []byte) error { return fmt.Errorf("node %d has lost its votes", who.Node) }
				}
			}
			// Only node 1 dials: node 2 is told an address at which nobody is.
			a := start(t, 1, la, []Peer{{2, lb.Addr().String()}}, hook)
			b := start(t, 2, lb, []Peer{{1, nowhere}}, hook)
			refused := map[uint64]*node{1: b, 2: a}[refuser]
			want := fmt.Sprintf("node %d has lost its votes", refused.cfg.Self.Node)
			if reason := await(t, refused.refused, "refusal"); reason != want {
				t.Errorf("the reason told is %q", reason)
			}
			awaitValue(t, refused.log.written, "log line about the refusal", func(line string) bool { return strings.Contains(line, want) })
			if a.Send(2, Control, []byte("x")) || len(a.connected) > 0 || len(b.frames) > 0 {
				t.Error("the refused connection is in use")
			}
		})
	}
}

func TestAnswerFromAnotherNodeIsRefused(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	third := start(t, 3, l, []Peer{{1, nowhere}})
	a := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, third.address}})
	if reason := await(t, a.refused, "refusal"); !strings.Contains(reason, "this is node 3 and not node 2") {
		t.Errorf("the reason told is %q", reason)
	}
}

func TestMemberThatStartsLateIsFound(t *testing.T) {
	late, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, late[0]}})
	awaitValue(t, a.log.written, "log line about the absence", func(line string) bool { return strings.Contains(line, "connection refused") })
	start(t, 2, listen(t, late[0]), []Peer{{1, a.address}})
	await(t, a.connected, "connection")
}

func TestGreetingTooLargeIsTheNodesOwnFault(t *testing.T) {
	a := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, nowhere}})
	b := start(t, 2, listen(t, "127.0.0.1:0"), []Peer{{1, a.address}}, func(cfg *Config, _ *recorder) {
		cfg.Greeting = func() []byte { return make([]byte, MaxGreetingBytes+1) }
	})
	awaitValue(t, b.log.written, "log line", func(line string) bool { return strings.Contains(line, "this node's greeting has 65537 bytes") })
}

func TestCloseUnderTrafficEndsEverything(t *testing.T) {
	var closed atomic.Bool
	a, b := pair(t, func(cfg *Config, r *recorder) {
		node := cfg.Self.Node
		r.receive = func(f received) {
			if node == 1 && closed.Load() {
				t.Error("a frame was delivered after Close had returned")
			}
			offer(r.frames, f)
		}
	})
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for _, n := range []*node{a, b} {
		for class := range Class(classes) {
			senders.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						n.Send(3-n.cfg.Self.Node, class, make([]byte, 10_000))
					}
				}
			})
		}
	}
	for range 100 {
		await(t, a.frames, "traffic")
		await(t, b.frames, "traffic")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	closed.Store(true)
	if why := await(t, b.disconnected, "disconnection"); why == nil {
		t.Error("no reason was given")
	}
	if a.Send(2, Control, []byte("x")) {
		t.Error("a closed transport took a frame")
	}
	close(stop)
	senders.Wait()
	if err := a.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	a.Start()
	if a.Send(2, Control, []byte("x")) {
		t.Error("a closed transport was started again")
	}
	for _, class := range a.Stats()[0].Classes {
		if class.FramesQueued != 0 || class.BytesQueued != 0 || class.Connected {
			t.Errorf("after Close there is left: %+v", class)
		}
	}
}

func TestConnectedMeansEveryClass(t *testing.T) {
	var n *node
	target := start(t, 2, listen(t, "127.0.0.1:0"), []Peer{{1, nowhere}})
	// The proxy lets the second connection through only when the test says so.
	held := make(chan struct{})
	admit := sync.OnceFunc(func() { close(held) })
	defer admit()
	p := startProxy(t, target.address, func(connection int, way direction, piece []byte) ([]byte, error) {
		if connection == 2 && way == forward {
			<-held
		}
		return piece, nil
	})
	n = start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, p.address()}})
	awaitStats(t, n, "two classes to connect", func(s PeerStats) bool {
		return s.Classes[0].Connects+s.Classes[1].Connects+s.Classes[2].Connects == 2
	})
	if len(n.connected) != 0 {
		t.Error("Connected was called with one class missing")
	}
	admit()
	await(t, n.connected, "connection")
	for class := range Class(classes) {
		n.mustSend(t, 2, class, []byte("x"))
	}
}

func TestConfigurationThatCannotWorkIsRejected(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	for want, spoil := range map[string]func(*Config){
		"Self.Node is 0":            func(c *Config) { c.Self.Node = 0 },
		"no Listener":               func(c *Config) { c.Listener = nil },
		"no Handler":                func(c *Config) { c.Handler = nil },
		"MaxFrameBytes is":          func(c *Config) { c.MaxFrameBytes = 1<<30 + 1 },
		"cannot hold one frame":     func(c *Config) { c.QueueBytes = 100; c.MaxFrameBytes = 101 },
		"must not be negative":      func(c *Config) { c.IdleTimeout = -1 },
		"peer 0 is":                 func(c *Config) { c.Peers = []Peer{{0, nowhere}} },
		"peer 1 is":                 func(c *Config) { c.Peers = []Peer{{1, nowhere}} },
		"peer 3 is":                 func(c *Config) { c.Peers = []Peer{{3, nowhere}, {3, nowhere}} },
		`address "somewhere" of`:    func(c *Config) { c.Peers = []Peer{{3, "somewhere"}} },
		"TLS.InsecureSkipVerify is": func(c *Config) { c.TLS.InsecureSkipVerify = true },
		"TLS.RootCAs is nil":        func(c *Config) { c.TLS.RootCAs = nil },
		"TLS has no certificate":    func(c *Config) { c.TLS.Certificates = nil },
	} {
		cfg := Config{Self: Identity{Node: 1}, Listener: l, Handler: newRecorder(), TLS: newAuthority(t).member(t)}
		spoil(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestWelcomeThatIsNotFromWhomWasDialledIsRefused(t *testing.T) {
	right := hello{from: Identity{testCluster, 2, 102}, to: 1}
	for name, tc := range map[string]struct {
		change func(*hello)
		code   refusalCode
	}{
		"another member": {func(h *hello) { h.from.Node = 3 }, refusedAddressee},
		"a stranger":     {func(h *hello) { h.from.Node = 9 }, refusedUnknown},
		"of a cluster":   {func(h *hello) { h.from.Cluster++ }, refusedCluster},
		"to another":     {func(h *hello) { h.to = 3 }, refusedAddressee},
		"another class":  {func(h *hello) { h.class = (h.class + 1) % classes }, refusedAddressee},
		"not admitted":   {func(h *hello) { h.from.Incarnation = 666 }, refusedByHandler},
	} {
		t.Run(name, func(t *testing.T) {
			impostor := listen(t, "127.0.0.1:0")
			defer impostor.Close()
			n := start(t, 1, listen(t, "127.0.0.1:0"), []Peer{{2, impostor.Addr().String()}, {3, nowhere}}, func(_ *Config, r *recorder) {
				r.admit = func(who Identity, _ []byte) error {
					if who.Incarnation == 666 {
						return errors.New("retired")
					}
					return nil
				}
			})
			socket, err := impostor.Accept()
			if err != nil {
				t.Fatal(err)
			}
			s := &stranger{socket, t}
			defer s.Close()
			_, body := s.hear()
			dialled, err := decodeHello(body)
			if err != nil {
				t.Fatal(err)
			}
			welcome := right
			welcome.class = dialled.class
			tc.change(&welcome)
			s.write(appendMessage(nil, kindWelcome, welcome.encode()))
			kind, body := s.hear()
			if r, err := decodeRefusal(body); kind != kindRefusal || err != nil || r.code != tc.code {
				t.Errorf("the welcome was answered with kind %d: %+v, %v", kind, r, err)
			}
			if n.Send(2, dialled.class, []byte("x")) {
				t.Error("a frame to the impostor was taken")
			}
		})
	}
}
