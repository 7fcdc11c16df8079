package transport

import (
	"errors"
	"fmt"
)

// The handshake, under one deadline: the dialling side says hello, the accepting side answers with a welcome, the dialling side says
// begin, and its frames follow. Either side may send a refusal instead. Each has been admitted by the other before a frame passes.

// introduce is the dialling side's part. It returns who answered.
func (t *Transport) introduce(c *conn, to uint64, class Class) (Identity, error) {
	if err := t.sendHello(c, kindHello, to, class); err != nil {
		return Identity{}, err
	}
	kind, body, err := readMessage(c.reader)
	if err != nil {
		return Identity{}, err
	}
	theirs, err := readHello(kind, kindWelcome, body)
	if err != nil {
		return Identity{}, err
	}
	err = t.judge(theirs)
	if err == nil && (theirs.from.Node != to || theirs.class != class) {
		err = &refusal{refusedAddressee, fmt.Sprintf("node %x answers where node %x should: correct the address", theirs.from.Node, to)}
	}
	if err != nil {
		return Identity{}, c.refuse(err)
	}
	return theirs.from, c.sendMessage(kindBegin, nil)
}

// receiveIntroduction is the accepting side's part. It returns the peer's hello; also together with an error, if the peer was
// admitted here before the handshake failed.
func (t *Transport) receiveIntroduction(c *conn) (*hello, error) {
	kind, body, err := readMessage(c.reader)
	if err != nil {
		return nil, c.refuse(err)
	}
	if kind == kindInquiry {
		return nil, t.account(c)
	}
	theirs, err := readHello(kind, kindHello, body)
	if err != nil {
		return nil, c.refuse(err)
	}
	if err := t.judge(theirs); err != nil {
		return nil, c.refuse(err)
	}
	if err := t.sendHello(c, kindWelcome, theirs.from.Node, theirs.class); err != nil {
		return theirs, err
	}
	switch kind, body, err = readMessage(c.reader); {
	case err != nil:
		return theirs, err
	case kind == kindRefusal:
		return theirs, asRefusal(body)
	case kind != kindBegin:
		return theirs, errMalformed
	}
	return theirs, nil
}

// judge returns nil or a *refusal.
func (t *Transport) judge(theirs *hello) error {
	self := t.cfg.Self
	switch {
	case theirs.from.Cluster != self.Cluster:
		return &refusal{refusedCluster, fmt.Sprintf("cluster %x is not cluster %x: correct the address or the cluster", theirs.from.Cluster, self.Cluster)}
	case theirs.to != self.Node:
		return &refusal{refusedAddressee, fmt.Sprintf("this is node %x and not node %x: correct the address", self.Node, theirs.to)}
	case theirs.class >= classes:
		return &refusal{refusedMalformed, fmt.Sprintf("class %d is unknown", theirs.class)}
	}
	if err := t.cfg.Handler.Admit(theirs.from, theirs.greeting); err != nil {
		return &refusal{refusedByHandler, oneLine(err.Error())}
	}
	if t.peers.Load().byNode[theirs.from.Node] == nil {
		return &refusal{refusedUnknown, fmt.Sprintf("node %x is not among the members that node %x knows", theirs.from.Node, self.Node)}
	}
	return nil
}

func (t *Transport) sendHello(c *conn, kind messageKind, to uint64, class Class) error {
	greeting := t.cfg.Greeting()
	if len(greeting) > MaxGreetingBytes {
		return fmt.Errorf("this node's greeting has %d bytes, more than the %d allowed", len(greeting), MaxGreetingBytes)
	}
	mine := hello{from: t.cfg.Self, to: to, class: class, greeting: greeting}
	return c.sendMessage(kind, mine.encode())
}

// readHello reads a hello out of a message that must be of kind want.
func readHello(kind, want messageKind, body []byte) (*hello, error) {
	switch kind {
	case want:
		return decodeHello(body)
	case kindRefusal:
		return nil, asRefusal(body)
	}
	return nil, errMalformed
}

func asRefusal(body []byte) error {
	r, err := decodeRefusal(body)
	if err != nil {
		return err
	}
	return r
}

// refuse tells the peer why the handshake ends, if it is one that would understand, and returns why.
func (c *conn) refuse(why error) error {
	r, ok := errors.AsType[*refusal](why)
	if why == errMalformed {
		r, ok = &refusal{refusedMalformed, "the handshake message is malformed"}, true
	}
	if ok {
		if err := c.sendMessage(kindRefusal, r.encode()); err != nil {
			return fmt.Errorf("%w (and could not tell it: %v)", why, err)
		}
	}
	return why
}

func (c *conn) sendMessage(kind messageKind, body []byte) error {
	_, err := c.stream.Write(appendMessage(nil, kind, body))
	return err
}
