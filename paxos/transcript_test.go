package paxos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scenarios under testdata/transcripts are stories, each with every message, record and choice in it; go test -rewrite writes them anew. Node and
// link arguments are numbers and FROM->TO. After every event the node is told that no more input is at hand.
//
//	cluster N [founders= alpha= chunk= cache= commands=]   N nodes, all of them full members or the first few; a heartbeat is a tick, suspicion 4, resending 3
//	heartbeats                     write heartbeats down from now on: they are many
//	tick NODE n                    time passes at one member; nothing is delivered
//	run n                          time passes at all members; all is delivered and synced
//	stabilize                      deliver and sync until nothing is left to do
//	campaign NODE                  deliver heartbeats and pass time at one member until it runs for leader
//	elect NODE                     campaign and stabilize, then let everybody hear of it; writes nothing down
//	takeover NODE                  tell one member to take over now
//	deliver LINK… [kind…]          deliver what is under way on these links, all or of these kinds
//	drop LINK… [kind…]             lose it
//	cut LINK…, cut NODE…, heal     lose everything on these links, or from and to these nodes, from now on
//	propose NODE [source=] COMMAND…
//	reconfigure NODE MEMBER…       ask for a change of the membership that it knows to these full members
//	read NODE NUMBER
//	sync NODE, stall NODE          make the log durable; let it not be until the next sync
//	crash NODE…, restart NODE…     lose what was not synced; boot from what was
//	trim NODE SLOT                 its log forgets everything up to a slot; its machine does not
//	install NODE FROM              give it the machine of another node
//	rot NODE slot=                 lose a vote: known at the next restart
//	status
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		p := play{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				p.s = newStage(t, p.config(d), p.number(d, 0))
			} else {
				p.command(d)
			}
			text := p.s.out.String()
			p.s.out.Reset()
			return text
		})
	})
}

// play carries out the commands of one scenario.
type play struct {
	t *testing.T
	s *stage
}

func (p *play) config(d *datadriven.TestData) Config {
	n := p.number(d, 0)
	d.MaybeScanArgs(p.t, "founders", &n)
	cfg := loneConfig(p.t, 1, n)
	alpha := WindowDefault
	d.MaybeScanArgs(p.t, "alpha", &alpha)
	cfg.Founders = cfg.Founders.WithWindow(alpha)
	d.MaybeScanArgs(p.t, "chunk", &cfg.Limits.ChunkBytes)
	d.MaybeScanArgs(p.t, "cache", &cfg.Limits.CacheBytes)
	d.MaybeScanArgs(p.t, "commands", &cfg.Limits.AdmissionCount)
	return cfg
}

func (p *play) command(d *datadriven.TestData) {
	s := p.s
	switch d.Cmd {
	case "heartbeats":
		s.heartbeats = true
	case "tick":
		for range p.number(d, 1) {
			s.tick(p.actor(d))
		}
	case "run":
		s.run(p.number(d, 0))
	case "stabilize":
		s.stabilize()
	case "campaign":
		s.campaign(p.actor(d))
	case "elect":
		p.elect(p.actor(d))
	case "takeover":
		s.step(p.actor(d), Event{Kind: Campaign})
		s.idle(p.actor(d))
	case "deliver":
		if !s.deliver(p.match(d)) {
			p.t.Fatalf("%s: nothing of the kind is under way", d.Pos)
		}
	case "drop":
		if !s.pending(p.match(d)) {
			p.t.Fatalf("%s: nothing of the kind is under way", d.Pos)
		}
		p.drop(p.match(d))
	case "cut":
		p.cut(d)
	case "heal":
		clear(s.cut)
	case "propose":
		p.propose(d)
	case "reconfigure":
		p.reconfigure(d)
	case "read":
		s.step(p.actor(d), Event{Kind: Read, Read: uint64(p.number(d, 1))})
		s.idle(p.actor(d))
	case "sync":
		p.actor(d).stalled = false
		s.sync(p.actor(d))
	case "stall":
		p.actor(d).stalled = true
	case "crash":
		for _, a := range p.actors(d) {
			s.crash(a)
		}
	case "restart":
		for _, a := range p.actors(d) {
			s.start(a)
		}
	case "trim":
		p.actor(d).trimmed = Slot(p.number(d, 1))
	case "install":
		s.install(p.actor(d), s.actor(NodeID(p.number(d, 1))))
	case "rot":
		p.rot(d)
	case "status":
		p.status()
	default:
		p.t.Fatalf("%s: %s is no command", d.Pos, d.Cmd)
	}
}

// actor is the node that the first argument names.
func (p *play) actor(d *datadriven.TestData) *actor { return p.s.actor(NodeID(p.number(d, 0))) }

// actors are the nodes that the arguments name.
func (p *play) actors(d *datadriven.TestData) (found []*actor) {
	for i := range d.CmdArgs {
		found = append(found, p.s.actor(NodeID(p.number(d, i))))
	}
	return found
}

// number is the argument at a position.
func (p *play) number(d *datadriven.TestData, at int) int {
	if at >= len(d.CmdArgs) {
		p.t.Fatalf("%s: %s needs %d numbers", d.Pos, d.Cmd, at+1)
	}
	n, err := strconv.Atoi(d.CmdArgs[at].Key)
	if err != nil {
		p.t.Fatalf("%s: %v", d.Pos, err)
	}
	return n
}

func parseLink(s string) (l link, ok bool) {
	n, err := fmt.Sscanf(s, "%d->%d", &l.from, &l.to)
	return l, n == 2 && err == nil
}

// match selects messages by link, and by kind if any is named.
func (p *play) match(d *datadriven.TestData) func(letter) bool {
	var links []link
	var kinds []string
	for _, arg := range d.CmdArgs {
		if l, ok := parseLink(arg.Key); ok {
			links = append(links, l)
		} else {
			kinds = append(kinds, arg.Key)
		}
	}
	return func(l letter) bool {
		return slices.Contains(links, l.link) && (len(kinds) == 0 || slices.Contains(kinds, l.m.Kind.String()))
	}
}

func (p *play) drop(match func(letter) bool) {
	p.s.net = slices.DeleteFunc(p.s.net, func(l letter) bool {
		if match(l) && !isHeartbeat(l.m) {
			p.s.line(l.link.String(), l.m.Kind.String(), "is lost")
		}
		return match(l)
	})
}

func (p *play) cut(d *datadriven.TestData) {
	for _, arg := range d.CmdArgs {
		if l, ok := parseLink(arg.Key); ok {
			p.s.cut[l] = true
			continue
		}
		id, err := strconv.Atoi(arg.Key)
		if err != nil {
			p.t.Fatalf("%s: %v", d.Pos, err)
		}
		for _, a := range p.s.actors {
			p.s.cut[link{NodeID(id), a.id}], p.s.cut[link{a.id, NodeID(id)}] = true, true
		}
	}
}

func (p *play) elect(a *actor) {
	p.s.campaign(a)
	p.s.stabilize()
	p.s.run(2)
	if !a.r.Status().Leads {
		p.t.Fatalf("node %d does not lead:\n%s", a.id, p.s.out.String())
	}
	p.s.out.Reset()
}

func (p *play) propose(d *datadriven.TestData) {
	a, source := p.actor(d), uint64(1)
	d.MaybeScanArgs(p.t, "source", &source)
	for _, arg := range d.CmdArgs[1:] {
		if arg.Key == "source" {
			continue
		}
		id := uint64(len(p.s.names) + 1)
		p.s.names[id] = arg.Key
		p.s.step(a, Event{Kind: Propose, Proposal: Proposal{Source: source, ID: id, Data: []byte(arg.Key)}})
	}
	p.s.idle(a)
}

func (p *play) reconfigure(d *datadriven.TestData) {
	a := p.actor(d)
	latest := a.r.Configurations()
	change := &Change{Replaces: latest[len(latest)-1].Epoch, ID: uint64(len(p.s.names) + 1)}
	for i := range d.CmdArgs[1:] {
		id := NodeID(p.number(d, i+1))
		change.Members = append(change.Members, Member{ID: id, Incarnation: incarnationOf(id), Roles: FullMember})
	}
	p.s.names[change.ID] = "members " + membersText(change.Members)
	p.s.step(a, Event{Kind: Reconfigure, Change: change})
	p.s.idle(a)
}

func (p *play) rot(d *datadriven.TestData) {
	a, slot := p.actor(d), 0
	d.ScanArgs(p.t, "slot", &slot)
	for i, rec := range a.log {
		if rec.Kind == RecordAccept && rec.Slot == Slot(slot) {
			a.rotten[LSN(i+1)] = true
		}
	}
	if len(a.rotten) == 0 {
		p.t.Fatalf("%s: node %d has no vote in slot %d", d.Pos, a.id, slot)
	}
}

func (p *play) status() {
	for _, a := range p.s.actors {
		if !a.up {
			p.s.line(fmt.Sprint(a.id), "down", "")
			continue
		}
		st := a.r.Status()
		role := "no leader"
		switch {
		case st.Recovered:
			role = "leads"
		case st.Leads:
			role = "recovers"
		case a.r.proposer.phase == preparing:
			role = "prepares"
		case st.Leader == a.id:
			role = "has resigned"
		case st.Leader != 0:
			role = fmt.Sprintf("follows %d", st.Leader)
		}
		p.s.line(fmt.Sprint(a.id), role, fmt.Sprintf("ballot %v, promised %v, chosen up to %d, applied %d, log %d of %d durable, %d queued",
			st.Ballot, st.Promised, st.Chosen, a.applied, st.Durable, st.Appended, st.Queued))
	}
}

// describe puts the fields of a message that its kind uses into words.
func describe(m *Message) string {
	switch m.Kind {
	case Prepare:
		return fmt.Sprintf("ballot %v, from slot %d", m.Ballot, m.Slot)
	case Promise:
		return fmt.Sprintf("ballot %v, chosen up to %d, %s", m.Ballot, m.Chosen, describeReports(m))
	case Nack:
		return fmt.Sprintf("ballot %v, promised %v", m.Ballot, m.Seen)
	case Accept:
		return describeRecord(m.Record)
	case Accepted:
		return fmt.Sprintf("ballot %v, %s", m.Ballot, describeRun(m.Slot, m.Upto))
	case Commit:
		return fmt.Sprintf("ballot %v, chosen up to %d", m.Ballot, m.Chosen)
	case Heartbeat:
		return fmt.Sprintf("round %d, leads at %v, chosen up to %d", uint32(m.Number), m.Ballot, m.Chosen)
	case HeartbeatReply:
		return fmt.Sprintf("round %d, own %v, seen %v, happy %v, chosen up to %d", uint32(m.Number), m.Ballot, m.Seen, m.Flag, m.Chosen)
	case Forward:
		var commands []string
		for _, p := range m.Proposals {
			if m.Flag {
				commands = append(commands, quoted(text(p.Data)))
			} else {
				commands = append(commands, quoted(string(p.Data)))
			}
		}
		return fmt.Sprintf("to the leader at %v: %s", m.Ballot, strings.Join(commands, " "))
	case Reject:
		var ids []string
		for _, rj := range m.Rejected {
			ids = append(ids, fmt.Sprintf("proposal %d: %s", rj.ID, describeReason(rj.Reason)))
		}
		return fmt.Sprintf("for node %d, %s", m.Origin, strings.Join(ids, ", "))
	case ReadRequest:
		return fmt.Sprintf("to the leader at %v, number %d", m.Ballot, uint32(m.Number))
	case ReadReply:
		return fmt.Sprintf("number %d, at slot %d", uint32(m.Number), m.Slot)
	case ReadProbe, ReadAck:
		return fmt.Sprintf("ballot %v, number %d", m.Ballot, uint32(m.Number))
	case TakeOver:
		return fmt.Sprintf("from the leader at %v, once everything is chosen up to %d", m.Ballot, m.Chosen)
	case Learn:
		return fmt.Sprintf("from slot %d", m.Slot)
	case Learned:
		if m.Slot > 0 {
			return fmt.Sprintf("chosen up to %d; up to slot %d all is trimmed", m.Chosen, m.Slot)
		}
		return fmt.Sprintf("chosen up to %d%s", m.Chosen, describeValues(m.Records))
	}
	return fmt.Sprintf("%+v", *m)
}

func describeRun(slot, upto Slot) string {
	if slot == upto {
		return fmt.Sprintf("slot %d", slot)
	}
	return fmt.Sprintf("slots %d to %d", slot, upto)
}

func describeReports(m *Message) string {
	var parts []string
	for _, rep := range m.Reports {
		switch rep.State {
		case Voted:
			parts = append(parts, fmt.Sprintf("slot %d: vote %v %s", rep.Slot, rep.Ballot, quoted(text(rep.Record.Value))))
		case ReportChosen:
			parts = append(parts, fmt.Sprintf("slot %d: chosen %s", rep.Slot, quoted(text(rep.Record.Value))))
		case ReportUnknown:
			parts = append(parts, fmt.Sprintf("slot %d: a vote was lost, at most %v", rep.Slot, rep.Ballot))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "no votes")
	}
	if !m.Flag {
		parts = append(parts, fmt.Sprintf("more above slot %d", m.Upto))
	}
	return strings.Join(parts, "; ")
}

func describeValues(records []*Record) string {
	parts := ""
	for _, rec := range records {
		parts += fmt.Sprintf("; slot %d: %s", rec.Slot, quoted(text(rec.Value)))
	}
	return parts
}

func describeRecord(rec *Record) string {
	switch rec.Kind {
	case RecordPromise:
		return fmt.Sprintf("ballot %v", rec.Ballot)
	case RecordChosen:
		return fmt.Sprintf("slot %d, %s", rec.Slot, quoted(text(rec.Value)))
	}
	return fmt.Sprintf("ballot %v, slot %d, %s, chosen up to %d", rec.Ballot, rec.Slot, quoted(text(rec.Value)), rec.Chosen)
}

func describeReason(reason RejectReason) string {
	switch reason {
	case NoLeader:
		return "no leader"
	case Overloaded:
		return "overloaded"
	case Superseded:
		return "superseded"
	case Invalid:
		return "invalid"
	}
	return fmt.Sprintf("reason %d", reason)
}

// quoted sets a command apart from the words about it; a no-op has none.
func quoted(value string) string {
	if value == "no-op" {
		return value
	}
	return strconv.Quote(value)
}
