package links

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// chunkMax is how many bytes at most travel together.
	chunkMax = 32 << 10
	// chunksUnderWay bounds what one direction of a connection holds: with chunkMax, 2 MiB. Beyond it the sender is held back.
	chunksUnderWay = 64
	// helloWithin bounds the time until a member says who it is.
	helloWithin = 5 * time.Second
	// dialWithin bounds connecting to a member on this machine.
	dialWithin = time.Second
)

// connection is one connection through this process, from the one who dialled to the one who listens.
type connection struct {
	from, to uint64
	dialling net.Conn

	once sync.Once
	done chan struct{} // closed by end

	mu       sync.Mutex
	accepted net.Conn // nil until there is a connection to the one who listens
}

// chunk is some bytes on their way.
type chunk struct {
	bytes []byte
	due   time.Time
}

// carry serves one accepted connection until either side closes it or it is ended.
func (n *Net) carry(conn net.Conn, to uint64, address string, fromMember bool) {
	c := &connection{from: Clients, to: to, dialling: conn, done: make(chan struct{})}
	defer c.end()
	if !n.enter(c) {
		return
	}
	defer n.leave(c)
	var hello []byte
	if fromMember {
		from, said, err := whoDials(conn)
		if err != nil {
			return
		}
		n.identify(c, from)
		hello = said
	}
	there, back := n.link(c.from, to), n.link(to, c.from)
	if !there.await(c.done) || !back.await(c.done) { // to connect takes a packet each way
		return
	}
	accepted, err := net.DialTimeout("tcp", address, dialWithin)
	if err != nil || !c.accept(accepted) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.flow(accepted, conn, there, hello) })
	both.Go(func() { c.flow(conn, accepted, back, nil) })
	both.Wait()
}

// identify names the member that dialled c.
func (n *Net) identify(c *connection, from uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if member, renamed := n.renamed[from]; renamed {
		from = member
	}
	c.from = from
}

// whoDials reads the beginning of a member's hello and returns its node, and what it has read. An inquiry comes from somebody who is no member yet.
func whoDials(conn net.Conn) (from uint64, said []byte, err error) {
	const (
		header     = 16
		kindOffset = 6
		inquiry    = 5
		fromOffset = header + 8 // behind the cluster
	)
	if err := conn.SetReadDeadline(time.Now().Add(helloWithin)); err != nil {
		return 0, nil, err
	}
	said = make([]byte, fromOffset+8)
	if _, err := io.ReadFull(conn, said[:header]); err != nil {
		return 0, nil, err
	}
	if string(said[:4]) != "SYND" {
		return 0, nil, errors.New("no hello")
	}
	if said[kindOffset] == inquiry {
		return Clients, said[:header], conn.SetReadDeadline(time.Time{})
	}
	if _, err := io.ReadFull(conn, said[header:]); err != nil {
		return 0, nil, err
	}
	return binary.LittleEndian.Uint64(said[fromOffset:]), said, conn.SetReadDeadline(time.Time{})
}

// accept takes the connection to the one who listens, unless c has been ended meanwhile.
func (c *connection) accept(accepted net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		reset(accepted)
		return false
	default:
		c.accepted = accepted
		return true
	}
}

// flow carries bytes over a link from src to dst, first of all what has been read already.
func (c *connection) flow(dst, src net.Conn, over *link, first []byte) {
	underWay := make(chan chunk, chunksUnderWay)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer c.end() // ends the reading, too
	reading.Go(func() {
		defer close(underWay)
		for bytes := first; ; {
			if len(bytes) > 0 {
				select {
				case underWay <- chunk{bytes, over.due()}:
				case <-c.done:
					return
				}
			}
			buffer := make([]byte, chunkMax)
			read, err := src.Read(buffer)
			if bytes = buffer[:read]; err != nil && read == 0 {
				return
			}
		}
	})
	for next := range underWay {
		if !c.deliver(dst, next, over) {
			return
		}
	}
}

func (c *connection) deliver(dst net.Conn, next chunk, over *link) bool {
	if late := time.Until(next.due); late > 0 {
		timer := time.NewTimer(late)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.done:
			return false
		}
	}
	if !over.await(c.done) {
		return false
	}
	_, err := dst.Write(next.bytes)
	return err == nil
}

// end closes both sides at once, so that neither takes it for a good end.
func (c *connection) end() {
	c.once.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.done)
		reset(c.dialling)
		if c.accepted != nil {
			reset(c.accepted)
		}
	})
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // if that fails it is a normal close
	}
	conn.Close()
}
