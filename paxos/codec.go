package paxos

import (
	"encoding/binary"
	"errors"
)

// ErrMessage means the bytes are no message that this version can have sent.
var ErrMessage = errors.New("paxos: malformed message")

// The wire form of a message, little endian:
//
//	0  4  length of the head in bytes
//	4  1  kind
//	5  1  flags: bit 0 is Flag
//	6  1  hops
//	7  1  zero
//	8  …  unsigned varints: ballot (round, node, boot), seen (the same), slot, upto, chosen, number, origin, boot;
//	      the numbers of records (0 or 1), further records, reports, proposals and rejections;
//	      each report: slot, state, ballot, 1 if it has a record; each proposal: source, id, length and bytes;
//	      each rejection: id, reason
//	…  …  the records, sealed, in the order named
//
// A reader skips what it does not know at the end of the head: a newer minor version may add fields there.
const messageHeadMin = 8

// AppendMessage appends the wire form of m to pieces: the head, then the records' own bytes, which are not copied. The pieces belong together, in order,
// and must not be changed. The records must have been sealed if other goroutines can see them.
func AppendMessage(pieces [][]byte, m *Message) [][]byte {
	b := make([]byte, messageHeadMin, 64)
	b[4], b[6] = byte(m.Kind), m.Hops
	if m.Flag {
		b[5] = 1
	}
	b = appendBallot(appendBallot(b, m.Ballot), m.Seen)
	for _, v := range [...]uint64{uint64(m.Slot), uint64(m.Upto), uint64(m.Chosen), m.Number, uint64(m.Origin), uint64(m.Boot)} {
		b = binary.AppendUvarint(b, v)
	}
	records := 0
	if m.Record != nil {
		records = 1
	}
	for _, n := range [...]int{records, len(m.Records), len(m.Reports), len(m.Proposals), len(m.Rejected)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	at := len(pieces)
	pieces = append(pieces, nil)
	if m.Record != nil {
		pieces = append(pieces, m.Record.Seal())
	}
	for _, rec := range m.Records {
		pieces = append(pieces, rec.Seal())
	}
	for _, rep := range m.Reports {
		b = binary.AppendUvarint(b, uint64(rep.Slot))
		b = append(b, byte(rep.State))
		b = appendBallot(b, rep.Ballot)
		if rep.Record != nil {
			b = append(b, 1)
			pieces = append(pieces, rep.Record.Seal())
		} else {
			b = append(b, 0)
		}
	}
	for _, p := range m.Proposals {
		b = binary.AppendUvarint(b, p.Source)
		b = binary.AppendUvarint(b, p.ID)
		b = binary.AppendUvarint(b, uint64(len(p.Data)))
		b = append(b, p.Data...)
	}
	for _, r := range m.Rejected {
		b = binary.AppendUvarint(b, r.ID)
		b = append(b, byte(r.Reason))
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	pieces[at] = b
	return pieces
}

func appendBallot(b []byte, ballot Ballot) []byte {
	b = binary.AppendUvarint(b, ballot.Round)
	b = binary.AppendUvarint(b, uint64(ballot.Node))
	return binary.AppendUvarint(b, uint64(ballot.Boot))
}

// DecodeMessage reads a message in wire form. It keeps references to b, which must not be changed afterwards. A message of a kind that this version does not know
// is returned as it is; Step ignores it.
func DecodeMessage(b []byte) (*Message, error) {
	if len(b) < messageHeadMin {
		return nil, ErrMessage
	}
	n := binary.LittleEndian.Uint32(b)
	if n < messageHeadMin || uint64(n) > uint64(len(b)) {
		return nil, ErrMessage
	}
	m := &Message{Kind: MessageKind(b[4]), Flag: b[5]&1 != 0, Hops: b[6]}
	d := decoder{head: b[messageHeadMin:n], body: b[n:]}
	m.Ballot, m.Seen = d.ballot(), d.ballot()
	m.Slot, m.Upto, m.Chosen = Slot(d.uvarint()), Slot(d.uvarint()), Slot(d.uvarint())
	m.Number, m.Origin, m.Boot = d.uvarint(), NodeID(d.uvarint()), d.uint32()
	record, records, reports, proposals, rejected := d.count(), d.count(), d.count(), d.count(), d.count()
	if record == 1 {
		m.Record = d.record()
	}
	m.Records = list(&d, records, (*decoder).record)
	m.Reports = list(&d, reports, (*decoder).report)
	m.Proposals = list(&d, proposals, (*decoder).proposal)
	m.Rejected = list(&d, rejected, (*decoder).rejection)
	if d.err != nil {
		return nil, d.err
	}
	if record > 1 || len(d.body) > 0 || m.Kind == Accept && m.Record == nil {
		return nil, ErrMessage
	}
	return m, nil
}

// decoder reads a head and the records behind it. After an error it yields zeros.
type decoder struct {
	head, body []byte
	err        error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.head, d.body = nil, nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.head)
	if n <= 0 {
		d.fail(ErrMessage)
		return 0
	}
	d.head = d.head[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.head) == 0 {
		d.fail(ErrMessage)
		return 0
	}
	v := d.head[0]
	d.head = d.head[1:]
	return v
}

// count reads the length of a list. Each element takes at least a byte, so what there is bounds what may be claimed.
func (d *decoder) count() int {
	v := d.uvarint()
	if v > uint64(len(d.head)+len(d.body)) {
		d.fail(ErrMessage)
		return 0
	}
	return int(v)
}

func (d *decoder) ballot() Ballot {
	return Ballot{Round: d.uvarint(), Node: NodeID(d.uvarint()), Boot: d.uint32()}
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > 1<<32-1 {
		d.fail(ErrMessage)
	}
	return uint32(v)
}

func (d *decoder) record() *Record {
	if d.err != nil {
		return nil
	}
	rec, n, err := DecodeRecord(d.body)
	if err != nil {
		d.fail(err)
		return nil
	}
	d.body = d.body[n:]
	return rec
}

func (d *decoder) report() Report {
	rep := Report{Slot: Slot(d.uvarint()), State: ReportState(d.byte()), Ballot: d.ballot()}
	has := d.byte() == 1
	if has {
		rep.Record = d.record()
	}
	if known := rep.State == Voted || rep.State == ReportChosen; rep.State < Voted || rep.State > ReportUnknown || known != has {
		d.fail(ErrMessage)
	}
	return rep
}

func (d *decoder) proposal() Proposal {
	p := Proposal{Source: d.uvarint(), ID: d.uvarint()}
	n := d.uvarint()
	if n > uint64(len(d.head)) {
		d.fail(ErrMessage)
		return Proposal{}
	}
	p.Data = d.head[:n:n]
	d.head = d.head[n:]
	return p
}

func (d *decoder) rejection() Rejection {
	return Rejection{ID: d.uvarint(), Reason: RejectReason(d.byte())}
}

// list reads n elements, growing as they come and not on the word of n.
func list[T any](d *decoder, n int, read func(*decoder) T) []T {
	var out []T
	for i := 0; i < n && d.err == nil; i++ {
		out = append(out, read(d))
	}
	return out
}
