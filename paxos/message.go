package paxos

import "fmt"

// Message is what members say to each other. It may be lost, delayed, duplicated and reordered; it is never changed once sent, and may be
// shared between several receivers. Which fields a kind uses is said beside the kind; the others are zero.
// Who sent it comes from the transport, which has checked it, and stands in the Event.
type Message struct {
	Kind      MessageKind
	Ballot    Ballot
	Seen      Ballot // the highest ballot the sender has promised or seen
	Slot      Slot
	Upto      Slot
	Chosen    Slot   // the sender's chosen prefix
	Number    uint64 // of a round, a read or a forward: fresh for its sender, never reused under the same ballot and boot
	Flag      bool
	Origin    NodeID // where a forwarded request began
	Boot      uint32
	Hops      uint8
	Record    *Record
	Records   []*Record
	Reports   []Report
	Proposals []Proposal
	Rejected  []Rejection
}

// MessageKind numbers are part of the wire format.
type MessageKind uint8

const (
	Prepare        MessageKind = 1  // Ballot; Slot: first slot to report on ("1a")
	Promise        MessageKind = 2  // Ballot; Slot, Upto: reports cover this run; Flag: and all above it; Chosen; Reports ("1b")
	Nack           MessageKind = 3  // Ballot refused; Seen: promised
	Accept         MessageKind = 4  // Record, which has ballot, slot and chosen prefix ("2a")
	Accepted       MessageKind = 5  // Ballot; Slot, Upto: the run of slots voted in ("2b")
	Commit         MessageKind = 6  // Ballot; Chosen
	Heartbeat      MessageKind = 7  // Number: round; Chosen; Ballot, if the sender leads; Slot: what the sender holds durably, if the membership has ever changed; where there is a witness, Slot, and Upto: what is released
	HeartbeatReply MessageKind = 8  // Number: round; Ballot: the sender's own; Seen; Flag: happy; Chosen; Boot: the sender's; Slot, Upto: as in a Heartbeat
	Forward        MessageKind = 9  // Ballot of the leader meant; Number; Origin; Hops; Boot of the receiver; Proposals; Flag: one change of membership, and no commands
	Reject         MessageKind = 10 // Origin; Hops; Rejected
	ReadRequest    MessageKind = 11 // Ballot of the leader meant; Number; Origin; Hops
	ReadReply      MessageKind = 12 // Number; Origin; Hops; Slot: wait until it is applied
	ReadProbe      MessageKind = 13 // Ballot; Number
	ReadAck        MessageKind = 14 // Ballot; Number
	Learn          MessageKind = 15 // Slot: first wanted
	TakeOver       MessageKind = 17 // Ballot: the leader's; Chosen: what to know first. It cannot go on, since it is no member any more
	Learned        MessageKind = 16 // Records: chosen, ascending; Chosen; Slot: without records, everything up to here is trimmed, if that is why; Flag: nobody has asked for it
	Decided        MessageKind = 18 // Origin; Hops; Proposals: the IDs alone of commands that are chosen
)

var messageNames = [...]string{Prepare: "prepare", Promise: "promise", Nack: "nack", Accept: "accept", Accepted: "accepted",
	Commit: "commit", Heartbeat: "heartbeat", HeartbeatReply: "heartbeat-reply", Forward: "forward", Reject: "reject",
	ReadRequest: "read-request", ReadReply: "read-reply", ReadProbe: "read-probe", ReadAck: "read-ack", Learn: "learn", Learned: "learned", TakeOver: "take-over", Decided: "decided"}

func (k MessageKind) String() string {
	if int(k) < len(messageNames) && messageNames[k] != "" {
		return messageNames[k]
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// Stream says which of the transport's streams a message travels on, so that what keeps the cluster alive never waits behind bulk.
type Stream uint8

const (
	Control     Stream = iota // small: elections, votes, reads
	Replication               // values on their way to being chosen, and to those who learn them first
	Background                // catching up
)

// Stream returns the stream for a message.
func (m *Message) Stream() Stream {
	switch {
	case m.Kind == Accept || m.Kind == Forward || m.Kind == Learned && m.Flag:
		return Replication
	case len(m.Records)+len(m.Reports) > 0:
		return Background
	}
	return Control
}

// Report is what an acceptor tells a candidate about one slot. A slot that a Promise covers and does not report on has no vote.
type Report struct {
	Slot   Slot
	State  ReportState
	Ballot Ballot  // Voted: of the vote. Unknown: the highest that the lost vote can have had
	Record *Record // Voted, Chosen: with the value
}

// ReportState numbers are part of the wire format.
type ReportState uint8

const (
	Voted         ReportState = 1
	ReportChosen  ReportState = 2
	ReportUnknown ReportState = 3 // the disk lost the vote: neither "voted" nor "never voted" may be concluded
)

// Proposal is a command on its way into the log.
type Proposal struct {
	Source uint64 // whom it is charged to, for fairness
	ID     uint64 // of this attempt: unique for its origin over all boots, new for each attempt at the same command
	Data   []byte
}

// Rejection says that a command did not happen and never will.
type Rejection struct {
	ID     uint64
	Reason RejectReason
}

// RejectReason numbers are part of the wire format.
type RejectReason uint8

const (
	NoLeader   RejectReason = 1 // there is none, or the node asked is not the leader any more
	Overloaded RejectReason = 2 // the leader's queue is full
	Superseded RejectReason = 3 // a change: the configuration that it was made from is not the latest any more, or another change is under way
	Invalid    RejectReason = 4 // a change: its members make no configuration, or none that could go on
)
