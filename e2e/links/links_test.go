package links

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// Members of the network under test.
const (
	ada uint64 = 7
	bob uint64 = 9
)

const (
	patience = 10 * time.Second
	// silence is how long nothing must arrive over a link that is cut.
	silence = 100 * time.Millisecond
)

// pair is a connection that ada has dialled to bob.
type pair struct {
	t        *testing.T
	ada, bob net.Conn
}

func connect(t *testing.T, n *Net) pair {
	t.Helper()
	return connectAs(t, n, ada)
}

// connectAs has ada say that she is called id.
func connectAs(t *testing.T, n *Net, id uint64) pair {
	t.Helper()
	behind, front := listen(t), listen(t)
	n.ServeMember(front, bob, behind.Addr().String())
	p := pair{t: t, ada: dial(t, front)}
	if _, err := p.ada.Write(helloOf(id)); err != nil {
		t.Fatal(err)
	}
	p.bob = accept(t, behind)
	p.expect(p.bob, string(helloOf(id)))
	return p
}

func helloOf(node uint64) []byte {
	hello := append([]byte("SYND"), make([]byte, 20)...)
	return binary.LittleEndian.AppendUint64(hello, node)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (p pair) say(from net.Conn, text string) {
	p.t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p pair) expect(at net.Conn, text string) {
	p.t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(at, got); err != nil || string(got) != text {
		p.t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

func (p pair) expectSilence(at net.Conn) {
	p.t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(silence)); err != nil {
		p.t.Fatal(err)
	}
	got := make([]byte, 1)
	if n, err := at.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("read %q, %v; want silence", got[:n], err)
	}
}

func (p pair) expectEnd(at net.Conn) {
	p.t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	if n, err := at.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}

func network(t *testing.T) *Net {
	n := New()
	t.Cleanup(n.Close)
	return n
}

func TestBothDirectionsWorkUntilToldOtherwise(t *testing.T) {
	p := connect(t, network(t))
	p.say(p.ada, "question")
	p.expect(p.bob, "question")
	p.say(p.bob, "answer")
	p.expect(p.ada, "answer")
}

func TestAnInquiryIsCarriedAtOnceAsItHasNoBody(t *testing.T) {
	n := network(t)
	behind, front := listen(t), listen(t)
	n.ServeMember(front, bob, behind.Addr().String())
	p := pair{t: t, ada: dial(t, front)}
	inquiry := string(append([]byte("SYND\x01\x00\x05"), make([]byte, 9)...))
	p.say(p.ada, inquiry)
	p.bob = accept(t, behind)
	p.expect(p.bob, inquiry)
	p.say(p.bob, "account")
	p.expect(p.ada, "account")
}

func TestAMemberThatIsRenamedKeepsItsLinks(t *testing.T) {
	const later = 77
	n := network(t)
	n.Rename(ada, later)
	p := connectAs(t, n, later)
	n.Cut(ada, bob)
	p.say(p.ada, "held")
	p.expectSilence(p.bob)
	n.Heal()
	p.expect(p.bob, "held")
}

func TestACutHoldsOneDirectionOnlyAndHealingDeliversWhatItHeld(t *testing.T) {
	n := network(t)
	p := connect(t, n)
	n.Cut(ada, bob)
	p.say(p.ada, "held")
	p.expectSilence(p.bob)
	p.say(p.bob, "passes")
	p.expect(p.ada, "passes")
	n.Heal()
	p.expect(p.bob, "held")
}

func TestNobodyConnectsWhileEitherDirectionIsCut(t *testing.T) {
	for _, cut := range []direction{{ada, bob}, {bob, ada}} {
		n := network(t)
		behind, front := listen(t), listen(t)
		n.ServeMember(front, bob, behind.Addr().String())
		n.Cut(cut.from, cut.to)
		conn := dial(t, front)
		if _, err := conn.Write(helloOf(ada)); err != nil {
			t.Fatal(err)
		}
		if err := behind.(*net.TCPListener).SetDeadline(time.Now().Add(silence)); err != nil {
			t.Fatal(err)
		}
		if _, err := behind.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("with %v cut, a connection gets through: %v", cut, err)
		}
		n.Heal()
		accept(t, behind)
	}
}

func TestACutBetweenTwoLeavesTheOthersAlone(t *testing.T) {
	const eve uint64 = 11
	n := network(t)
	p := connect(t, n)
	n.Cut(eve, bob)
	n.Cut(Clients, bob)
	p.say(p.ada, "passes")
	p.expect(p.bob, "passes")
}

func TestADelayIsAddedToEachArrival(t *testing.T) {
	const delay = 50 * time.Millisecond
	n := network(t)
	p := connect(t, n)
	n.Delay(ada, bob, delay)
	sent := time.Now()
	p.say(p.ada, "late")
	p.expect(p.bob, "late")
	if took := time.Since(sent); took < delay {
		t.Errorf("arrived after %v, want at least %v", took, delay)
	}
}

func TestALostPacketArrivesAfterItHasBeenSentAgain(t *testing.T) {
	n := network(t)
	p := connect(t, n)
	n.Lose(ada, bob, 100)
	sent := time.Now()
	p.say(p.ada, "again")
	p.expect(p.bob, "again")
	if took := time.Since(sent); took < retransmission {
		t.Errorf("arrived after %v, want at least %v", took, retransmission)
	}
}

func TestAResetEndsConnectionsBetweenTheTwoAndNoOthers(t *testing.T) {
	n := network(t)
	p, other := connect(t, n), connect(t, n)
	n.Reset(ada, Clients)
	p.say(p.ada, "passes")
	p.expect(p.bob, "passes")
	n.Reset(bob, ada)
	p.expectEnd(p.ada)
	p.expectEnd(p.bob)
	other.expectEnd(other.bob)
}

func TestOneSidesEndIsTheOtherSidesEnd(t *testing.T) {
	p := connect(t, network(t))
	p.ada.Close()
	p.expectEnd(p.bob)
}

func TestWhoDoesNotSayHelloIsNotCarried(t *testing.T) {
	n := network(t)
	behind, front := listen(t), listen(t)
	n.ServeMember(front, bob, behind.Addr().String())
	conn := dial(t, front)
	p := pair{t: t, ada: conn}
	p.say(conn, "GET / HTTP/1.1 with something behind it")
	p.expectEnd(conn)
}

func TestClientsNeedNoHello(t *testing.T) {
	n := network(t)
	behind, front := listen(t), listen(t)
	n.ServeClients(front, bob, behind.Addr().String())
	p := pair{t: t, ada: dial(t, front)}
	p.bob = accept(t, behind)
	p.say(p.bob, "welcome")
	p.expect(p.ada, "welcome")
	n.Cut(bob, Clients)
	p.say(p.bob, "held")
	p.expectSilence(p.ada)
}
