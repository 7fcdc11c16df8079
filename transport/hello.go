package transport

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode"
)

// Version of the protocol. A peer with another major is refused. A newer minor may add fields at the end
// of a body, which older ones ignore.
const (
	protocolMajor = 1
	protocolMinor = 0
)

// A handshake is made of messages. Layout of each, little endian; it stays as it is in every version, and so does the refusal:
//
//	 0  4  magic "SYND"
//	 4  1  protocol major
//	 5  1  protocol minor
//	 6  1  kind
//	 7  1  zero
//	 8  4  body length in bytes
//	12  4  CRC-32C of bytes 0 to 12 and of the body
//	16  …  body
const (
	messageHeaderSize = 16
	maxBodyBytes      = 128 << 10 // a hello with the largest greeting, and as much again for fields yet to come
)

const magic = "SYND"

type messageKind uint8

const (
	kindHello   messageKind = 1 // from the dialling side: a hello
	kindWelcome messageKind = 2 // from the accepting side: its own hello in answer
	kindBegin   messageKind = 3 // from the dialling side, without a body: frames follow
	kindRefusal messageKind = 4 // from either side, instead of what it owes: a refusal
	kindInquiry messageKind = 5 // from the dialling side, instead of a hello, without a body: who are you?
	kindAccount messageKind = 6 // from the accepting side, in answer, and its last word: its own hello, to nobody
)

func appendMessage(b []byte, kind messageKind, body []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = append(b, protocolMajor, protocolMinor, byte(kind), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, messageSum(b[start:], body))
	return append(b, body...)
}

func messageSum(header, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, body)
}

// readMessage returns the next handshake message, of a version that it can read. Its errors: errNotSynod,
// errMalformed, a *refusal of the version, or the reader's.
func readMessage(from io.Reader) (messageKind, []byte, error) {
	var h [messageHeaderSize]byte
	if _, err := io.ReadFull(from, h[:]); err != nil {
		return 0, nil, err
	}
	le := binary.LittleEndian
	length := le.Uint32(h[8:])
	switch {
	case string(h[:4]) != magic:
		return 0, nil, errNotSynod
	case h[7] != 0 || length > maxBodyBytes:
		return 0, nil, errMalformed
	}
	body, err := readExactly(from, int(length))
	if err != nil {
		return 0, nil, err
	}
	if messageSum(h[:12], body) != le.Uint32(h[12:]) {
		return 0, nil, errMalformed
	}
	kind := messageKind(h[6])
	if h[4] != protocolMajor && kind != kindRefusal {
		return 0, nil, &refusal{refusedVersion, fmt.Sprintf("protocol %d.%d meets %d.%d: run one major version in a cluster",
			h[4], h[5], protocolMajor, protocolMinor)}
	}
	return kind, body, nil
}

// hello is how either side introduces itself. Body layout:
//
//	 0  8  cluster
//	 8  8  from: node
//	16  8  from: incarnation
//	24  8  to: node
//	32  1  class
//	33  3  zero
//	36  4  greeting length in bytes
//	40  …  greeting
type hello struct {
	from     Identity
	to       uint64
	class    Class
	greeting []byte
}

const helloSize = 40

func (h *hello) encode() []byte {
	b := make([]byte, helloSize, helloSize+len(h.greeting))
	le := binary.LittleEndian
	le.PutUint64(b[0:], h.from.Cluster)
	le.PutUint64(b[8:], h.from.Node)
	le.PutUint64(b[16:], h.from.Incarnation)
	le.PutUint64(b[24:], h.to)
	b[32] = byte(h.class)
	le.PutUint32(b[36:], uint32(len(h.greeting)))
	return append(b, h.greeting...)
}

// decodeHello reads a body; the greeting aliases it. The error is errMalformed.
func decodeHello(body []byte) (*hello, error) {
	if len(body) < helloSize {
		return nil, errMalformed
	}
	le := binary.LittleEndian
	length := le.Uint32(body[36:])
	if length > MaxGreetingBytes || int(length) > len(body)-helloSize || body[33]|body[34]|body[35] != 0 {
		return nil, errMalformed
	}
	return &hello{
		from:     Identity{Cluster: le.Uint64(body[0:]), Node: le.Uint64(body[8:]), Incarnation: le.Uint64(body[16:])},
		to:       le.Uint64(body[24:]),
		class:    Class(body[32]),
		greeting: body[helloSize : helloSize+length : helloSize+length],
	}, nil
}

// refusal says why a handshake ends. As an error it is this node's own refusal of the peer. Body layout:
//
//	0  2  code
//	2  2  reason length in bytes
//	4  …  reason
type refusal struct {
	code   refusalCode
	reason string // one line of at most maxReasonBytes
}

// refusalCode is part of the wire format.
type refusalCode uint16

const (
	refusedMalformed refusalCode = 1
	refusedVersion   refusalCode = 2
	refusedCluster   refusalCode = 3
	refusedAddressee refusalCode = 4 // the hello is meant for another node
	refusedUnknown   refusalCode = 5 // its sender is no peer
	refusedByHandler refusalCode = 6 // Handler.Admit said so
)

const maxReasonBytes = 256

func (r *refusal) Error() string { return "refused the peer: " + r.reason }

func (r *refusal) encode() []byte {
	reason := oneLine(r.reason)
	b := binary.LittleEndian.AppendUint16(nil, uint16(r.code))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(reason)))
	return append(b, reason...)
}

// refusedByPeer is the peer's refusal of this node.
type refusedByPeer struct{ refusal }

func (r *refusedByPeer) Error() string { return "refused by the peer: " + r.reason }

// decodeRefusal reads a body. The error is errMalformed.
func decodeRefusal(body []byte) (*refusedByPeer, error) {
	if len(body) < 4 {
		return nil, errMalformed
	}
	length := int(binary.LittleEndian.Uint16(body[2:]))
	if length > maxReasonBytes || length > len(body)-4 {
		return nil, errMalformed
	}
	code := refusalCode(binary.LittleEndian.Uint16(body))
	return &refusedByPeer{refusal{code, oneLine(string(body[4 : 4+length]))}}, nil
}

// oneLine makes s fit for a log: printable, one line, at most maxReasonBytes.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, s)
	if len(s) > maxReasonBytes {
		s = strings.ToValidUTF8(s[:maxReasonBytes], "")
	}
	return s
}
