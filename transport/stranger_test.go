package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"synod.dev/synod/internal/quiet"
)

// These tests meet a Transport as a stranger on a pipe would, in a bubble where time is virtual and
// synctest.Wait tells when nothing more can happen by itself.

// pipes is a net.Listener whose connections are in memory.
type pipes struct {
	inbound chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newPipes() *pipes { return &pipes{inbound: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.inbound:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// stranger is the dialling end of a connection, in the hands of the test.
type stranger struct {
	net.Conn
	t *testing.T
}

func (p *pipes) dial(t *testing.T) *stranger {
	ours, theirs := net.Pipe()
	p.inbound <- theirs
	t.Cleanup(func() { ours.Close() })
	return &stranger{ours, t}
}

func (s *stranger) write(b []byte) {
	s.t.Helper()
	if _, err := s.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// hear returns the next handshake message.
func (s *stranger) hear() (messageKind, []byte) {
	s.t.Helper()
	kind, body, err := readMessage(s)
	if err != nil {
		s.t.Fatal(err)
	}
	return kind, body
}

// become goes through the handshake as h.
func (s *stranger) become(h hello) {
	s.t.Helper()
	s.write(appendMessage(nil, kindHello, h.encode()))
	if kind, body := s.hear(); kind != kindWelcome {
		s.t.Fatalf("the answer to %+v is of kind %d: %q", h, kind, body)
	}
	s.write(appendMessage(nil, kindBegin, nil))
}

// untilClosed reads until the other side closes, and returns what it said.
func (s *stranger) untilClosed() []byte {
	s.t.Helper()
	b, err := io.ReadAll(s)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// isClosed reports whether the other side has closed, and has nothing left to say.
func (s *stranger) isClosed() bool {
	if err := s.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return true
	}
	_, err := s.Read(make([]byte, 1))
	return err == io.EOF
}

// nowhere is an address that fails to be dialled without the network being asked.
const nowhere = "127.0.0.1:65536"

// friend is the hello of node 2 to node 1.
var friend = hello{from: Identity{testCluster, 2, 102}, to: 1, class: Control, greeting: []byte("good day")}

// alone runs test with node 1, whose peer 2 it never reaches, in a bubble.
func alone(t *testing.T, test func(t *testing.T, n *node, door *pipes), hooks ...func(*Config, *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		door := newPipes()
		n := start(t, 1, door, []Peer{{2, nowhere}}, hooks...)
		test(t, n, door)
	})
}

func TestPeerIsWelcomedAndAskedForItsGreetingOnce(t *testing.T) {
	type admission struct {
		who      Identity
		greeting string
	}
	var admitted []admission
	alone(t, func(t *testing.T, n *node, door *pipes) {
		s := door.dial(t)
		s.write(appendMessage(nil, kindHello, friend.encode()))
		kind, body := s.hear()
		welcome, err := decodeHello(body)
		want := hello{from: Identity{testCluster, 1, 101}, to: 2, class: Control, greeting: []byte("welcome")}
		if kind != kindWelcome || err != nil || fmt.Sprint(*welcome) != fmt.Sprint(want) {
			t.Fatalf("the answer is of kind %d: %+v, %v", kind, welcome, err)
		}
		s.write(appendMessage(nil, kindBegin, nil))
		s.write(encodeFrames(Control, []byte("first"), []byte("second")))
		for _, want := range []string{"first", "second"} {
			if f := <-n.frames; string(f.payload) != want || f.from != friend.from || f.class != Control {
				t.Errorf("received %+v, want %q", f, want)
			}
		}
		if len(admitted) != 1 || admitted[0] != (admission{friend.from, "good day"}) {
			t.Errorf("Admit was asked about %v", admitted)
		}
	}, func(cfg *Config, r *recorder) {
		cfg.Greeting = func() []byte { return []byte("welcome") }
		r.admit = func(who Identity, greeting []byte) error {
			admitted = append(admitted, admission{who, string(greeting)})
			return nil
		}
	})
}

func TestWhoeverDoesNotBelongIsRefusedWithAReason(t *testing.T) {
	wiped := friend
	wiped.from.Incarnation = 666
	for name, tc := range map[string]struct {
		message []byte
		code    refusalCode
		reason  string
	}{
		"of another cluster":        {introduction(func(h *hello) { h.from.Cluster++ }), refusedCluster, "cluster c2 is not cluster c1"},
		"for another node":          {introduction(func(h *hello) { h.to = 3 }), refusedAddressee, "node 1 and not node 3"},
		"of an unknown node":        {introduction(func(h *hello) { h.from.Node = 9 }), refusedUnknown, "node 9 is not among the members"},
		"of this node itself":       {introduction(func(h *hello) { h.from.Node = 1 }), refusedUnknown, "node 1 is not among the members"},
		"of an unknown class":       {introduction(func(h *hello) { h.class = classes }), refusedMalformed, "class 3"},
		"of a wiped disk":           {appendMessage(nil, kindHello, wiped.encode()), refusedByHandler, "incarnation 29a is retired"},
		"of another major version":  {ofVersion(2, 0, introduction(func(*hello) {})), refusedVersion, "protocol 2.0 meets 1.0"},
		"with a body cut short":     {appendMessage(nil, kindHello, friend.encode()[:30]), refusedMalformed, "malformed"},
		"that begins with a begin":  {appendMessage(nil, kindBegin, nil), refusedMalformed, "malformed"},
		"with a flipped bit":        {flip(introduction(func(*hello) {}), 30), refusedMalformed, "malformed"},
		"with an endless body":      {[]byte("SYND\x01\x00\x01\x00\xff\xff\xff\xffsum!"), refusedMalformed, "malformed"},
		"with a greeting too large": {introduction(func(h *hello) { h.greeting = make([]byte, MaxGreetingBytes+1) }), refusedMalformed, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(t *testing.T, n *node, door *pipes) {
				s := door.dial(t)
				s.write(tc.message)
				kind, body := s.hear()
				r, err := decodeRefusal(body)
				if kind != kindRefusal || err != nil || r.code != tc.code || !strings.Contains(r.reason, tc.reason) {
					t.Fatalf("the answer is of kind %d: %+v, %v", kind, r, err)
				}
				if more := s.untilClosed(); len(more) != 0 {
					t.Errorf("after the refusal came %q", more)
				}
				awaitValue(t, n.log.written, "log line", func(line string) bool {
					return strings.Contains(line, "rejected connection on peer endpoint") && strings.Contains(line, tc.reason)
				})
				friendIsServed(t, n, door)
			}, func(_ *Config, r *recorder) {
				r.admit = func(who Identity, _ []byte) error {
					if who.Incarnation == 666 {
						return fmt.Errorf("incarnation %x is retired:\nstart with an empty directory", who.Incarnation)
					}
					return nil
				}
			})
		})
	}
}

func introduction(change func(*hello)) []byte {
	h := friend
	change(&h)
	return appendMessage(nil, kindHello, h.encode())
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 4
	return b
}

// friendIsServed fails the test unless an honest peer can still connect and be heard.
func friendIsServed(t *testing.T, n *node, door *pipes) {
	t.Helper()
	s := door.dial(t)
	s.become(friend)
	s.write(encodeFrames(Control, []byte("still there?")))
	if f := <-n.frames; string(f.payload) != "still there?" {
		t.Errorf("received %q", f.payload)
	}
}

func TestNothingIsDeliveredBeforeTheHandshakeIsComplete(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		s := door.dial(t)
		s.write(appendMessage(nil, kindHello, friend.encode()))
		s.hear()
		s.write(encodeFrames(Control, []byte("too early")))
		s.untilClosed()
		if len(n.frames) != 0 {
			t.Errorf("%q was delivered", (<-n.frames).payload)
		}
	})
}

func TestStreamHasToBeginWithABegin(t *testing.T) {
	for _, kind := range []messageKind{kindHello, kindWelcome, 9} {
		t.Run(fmt.Sprintf("not with kind %d", kind), func(t *testing.T) {
			alone(t, func(t *testing.T, n *node, door *pipes) {
				s := door.dial(t)
				s.write(appendMessage(nil, kindHello, friend.encode()))
				s.hear()
				s.write(appendMessage(nil, kind, nil))
				if more := s.untilClosed(); len(more) != 0 {
					t.Errorf("it was answered with %q", more)
				}
			})
		})
	}
}

func TestGarbageIsClosedWithoutAnAnswer(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		s := door.dial(t)
		s.write([]byte("GET / HTTP/1.1\r\n"))
		if answer := s.untilClosed(); len(answer) != 0 {
			t.Errorf("the answer is %q", answer)
		}
		awaitValue(t, n.log.written, "log line", func(line string) bool { return strings.Contains(line, "not a synod handshake") })
		friendIsServed(t, n, door)
	})
}

func TestPeerMayRefuseTheWelcome(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		s := door.dial(t)
		s.write(appendMessage(nil, kindHello, friend.encode()))
		s.hear()
		s.write(appendMessage(nil, kindRefusal, (&refusal{refusedByHandler, "you forgot your promises"}).encode()))
		if reason := <-n.refused; reason != "you forgot your promises" {
			t.Errorf("Refused was told %q", reason)
		}
	})
}

func TestHalfAHandshakeEndsAtItsDeadlineHoweverSlowlyItGoesOn(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		began := time.Now()
		s := door.dial(t)
		message := appendMessage(nil, kindHello, friend.encode())
		for i := range message {
			if _, err := s.Write(message[i : i+1]); err != nil {
				break
			}
			virtual(time.Second)
		}
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the slow handshake ended with %v", err)
		}
		if took := time.Since(began); took < defaultHandshakeTimeout || took > defaultHandshakeTimeout+time.Second {
			t.Errorf("the slow handshake ended after %v", took)
		}
	})
}

func TestUnfinishedHandshakesAreBoundedAndTheOldestHasToGo(t *testing.T) {
	const limit = 3
	alone(t, func(t *testing.T, n *node, door *pipes) {
		began := time.Now()
		idlers := make([]*stranger, 2*limit)
		for i := range idlers {
			idlers[i] = door.dial(t)
			synctest.Wait()
		}
		friendIsServed(t, n, door) // takes one more place
		if waited := time.Since(began); waited != 0 {
			t.Errorf("places came free only after %v", waited)
		}
		for i, s := range idlers {
			gone := s.isClosed()
			if want := i <= limit; gone != want {
				t.Errorf("idler %d of %d: gone is %v, want %v", i, len(idlers), gone, want)
			}
		}
	}, func(cfg *Config, _ *recorder) { cfg.MaxHandshakes = limit })
}

func TestNewConnectionEndsTheOldOneAndWaitsForItsLastFrame(t *testing.T) {
	var mu sync.Mutex
	var events []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	var release chan struct{} // made in the bubble
	alone(t, func(t *testing.T, n *node, door *pipes) {
		var last *stranger
		for incarnation := range uint64(3) {
			h := friend
			h.from.Incarnation = incarnation
			previous := last
			last = door.dial(t)
			last.become(h)
			go last.Write(encodeFrames(Control, []byte("a"), []byte("b"))) // fails for all but the last
			synctest.Wait()
			if previous != nil {
				if _, err := previous.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the connection before ended with %v", err)
				}
			}
		}
		close(release)
		synctest.Wait()
		want := "[begin 0 a end 0 a begin 2 a end 2 a begin 2 b end 2 b]"
		if got := fmt.Sprint(events); got != want {
			t.Errorf("delivered %v, want %v", got, want)
		}
	}, func(_ *Config, r *recorder) {
		release = make(chan struct{})
		r.receive = func(f received) {
			note("begin %d %s", f.from.Incarnation, f.payload)
			<-release
			note("end %d %s", f.from.Incarnation, f.payload)
		}
	})
}

func TestCloseReturnsOnlyAfterTheLastCallOfTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := newPipes()
		release := make(chan struct{})
		n := start(t, 1, door, []Peer{{2, nowhere}}, func(_ *Config, r *recorder) {
			r.receive = func(received) { <-release }
		})
		s := door.dial(t)
		s.become(friend)
		s.write(encodeFrames(Control, []byte("slow")))
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- n.Close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("Close returned while Receive was being called")
		}
		close(release)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

func TestSilentPeerIsDroppedAndOneThatPulsesIsKept(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		s := door.dial(t)
		s.become(friend)
		pulses := make(chan int)
		go func() {
			b, err := io.ReadAll(s)
			if err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
			pulses <- len(b) / frameHeaderSize
		}()
		const kept = 10
		for range kept {
			virtual(defaultIdleTimeout - time.Millisecond)
			s.write(appendFrameHeader(nil, framePulse, Control, nil))
		}
		spoke := time.Now()
		if got := <-pulses; got < kept*(pulsesPerTimeout-1) {
			t.Errorf("the silent side heard %d pulses in %d timeouts", got, kept)
		}
		if took := time.Since(spoke); took != defaultIdleTimeout {
			t.Errorf("dropped %v after the last pulse, want %v", took, defaultIdleTimeout)
		}
	})
}

func TestSameComplaintIsLoggedOnceInAWhile(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		complain := func(times int) (logged int, last string) {
			for range times {
				s := door.dial(t)
				s.write([]byte("GET / HTTP/1.1\r\n"))
				s.untilClosed()
			}
			synctest.Wait()
			for len(n.log.written) > 0 {
				if line := <-n.log.written; strings.Contains(line, "not a synod handshake") {
					logged, last = logged+1, line
				}
			}
			return logged, last
		}
		if logged, _ := complain(100); logged != 1 {
			t.Errorf("100 complaints at once made %d lines", logged)
		}
		virtual(quiet.Interval)
		if logged, line := complain(100); logged != 1 || !strings.Contains(line, "muted=99") {
			t.Errorf("100 more made %d lines: %s", logged, line)
		}
	})
}

// TestARefusalByAStrangerIsAComplaintOfFewKinds has one refuse with every code that it can think of, before anybody has admitted it.
func TestARefusalByAStrangerIsAComplaintOfFewKinds(t *testing.T) {
	alone(t, func(t *testing.T, n *node, door *pipes) {
		for code := range refusalCode(500) {
			s := door.dial(t)
			s.write(appendMessage(nil, kindRefusal, (&refusal{code, "no"}).encode()))
			s.untilClosed()
		}
		synctest.Wait()
		if kinds := len(n.strangers.matters); kinds == 0 || kinds > 10 {
			t.Errorf("500 codes are %d matters", kinds)
		}
	})
}

// virtual lets time pass in a bubble.
func virtual(d time.Duration) { <-time.After(d) }
