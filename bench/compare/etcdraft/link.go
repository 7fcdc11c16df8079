package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"

	"go.etcd.io/raft/v3/raftpb"
)

const (
	// queueLimit bounds the messages that wait for a link, bufferSize is that of a connection's buffers, in bytes.
	queueLimit, bufferSize = 4096, 64 << 10
	// messageLimit bounds a message, in bytes: batchMax and what is around it.
	messageLimit = 2 * batchMax
)

// link is the way to another replica: frames of a length of four bytes and a message, over TCP.
type link struct{ queue chan raftpb.Message }

func dial(address string, lost func()) *link {
	l := &link{make(chan raftpb.Message, queueLimit)}
	go l.run(address, lost)
	return l
}

// send reports false if the link is full.
func (l *link) send(m raftpb.Message) bool {
	select {
	case l.queue <- m:
		return true
	default:
		return false
	}
}

// run writes what is queued and flushes when nothing more is. A broken connection is replaced for the next message.
func (l *link) run(address string, lost func()) {
	var w *bufio.Writer
	for m := range l.queue {
		if w == nil {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				lost()
				continue
			}
			w = bufio.NewWriterSize(conn, bufferSize)
		}
		err := write(w, m)
		if err == nil && len(l.queue) == 0 {
			err = w.Flush()
		}
		if err != nil {
			w = nil
			lost()
		}
	}
}

func write(w io.Writer, m raftpb.Message) error {
	body, err := m.Marshal()
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// listen takes messages from the other replicas.
func (r *replica) listen(address string) error {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			go r.receive(conn)
		}
	}()
	return nil
}

// receive ends with the connection, or with a message that is none.
func (r *replica) receive(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, bufferSize)
	for {
		var length [4]byte
		if _, err := io.ReadFull(reader, length[:]); err != nil {
			return
		}
		size := binary.LittleEndian.Uint32(length[:])
		if size > messageLimit {
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(reader, body); err != nil {
			return
		}
		var m raftpb.Message
		if m.Unmarshal(body) != nil || r.node.Step(context.Background(), m) != nil {
			return
		}
	}
}
