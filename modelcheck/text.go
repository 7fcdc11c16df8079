package modelcheck

import (
	"fmt"
	"strings"

	"synod.dev/synod/paxos"
)

// describe puts a message into words.
func describe(m *paxos.Message) string {
	switch m.Kind {
	case paxos.Prepare:
		return fmt.Sprintf("prepare ballot %v, from slot %d", m.Ballot, m.Slot)
	case paxos.Promise:
		return fmt.Sprintf("promise ballot %v, chosen up to %d%s", m.Ballot, m.Chosen, describeReports(m.Reports))
	case paxos.Nack:
		return fmt.Sprintf("nack ballot %v, promised %v", m.Ballot, m.Seen)
	case paxos.Accept:
		return describeRecord(m.Record)
	case paxos.Accepted:
		return fmt.Sprintf("accepted ballot %v, slots %d to %d", m.Ballot, m.Slot, m.Upto)
	case paxos.Commit:
		return fmt.Sprintf("commit ballot %v, chosen up to %d", m.Ballot, m.Chosen)
	case paxos.Learned:
		var values strings.Builder
		for _, rec := range m.Records {
			fmt.Fprintf(&values, ", slot %d %s", rec.Slot, text(rec.Value))
		}
		return fmt.Sprintf("learned chosen up to %d%s", m.Chosen, values.String())
	case paxos.ReadReply:
		return fmt.Sprintf("read-reply number %d, at slot %d", m.Number, m.Slot)
	}
	return fmt.Sprintf("%v ballot %v, number %d", m.Kind, m.Ballot, m.Number)
}

func describeReports(reports []paxos.Report) string {
	var s strings.Builder
	for _, rep := range reports {
		switch rep.State {
		case paxos.Voted:
			fmt.Fprintf(&s, ", slot %d voted %v %s", rep.Slot, rep.Ballot, text(rep.Record.Value))
		case paxos.ReportChosen:
			fmt.Fprintf(&s, ", slot %d chosen %s", rep.Slot, text(rep.Record.Value))
		case paxos.ReportUnknown:
			fmt.Fprintf(&s, ", slot %d lost, at most %v", rep.Slot, rep.Ballot)
		}
	}
	return s.String()
}

func describeRecord(rec *paxos.Record) string {
	switch rec.Kind {
	case paxos.RecordPromise:
		return fmt.Sprintf("promise %v", rec.Ballot)
	case paxos.RecordChosen:
		return fmt.Sprintf("chosen slot %d %s", rec.Slot, text(rec.Value))
	}
	return fmt.Sprintf("accept %v slot %d %s, chosen up to %d", rec.Ballot, rec.Slot, text(rec.Value), rec.Chosen)
}

// text is what a value says.
func text(v paxos.Value) string {
	if c, err := paxos.DecodeChange(v); err == nil {
		return describeChange(c)
	}
	var commands []string
	if err := v.Commands(func(c []byte) { commands = append(commands, string(c)) }); err != nil {
		return err.Error()
	}
	if len(commands) == 0 {
		return "no-op"
	}
	return strings.Join(commands, "+")
}

func describeChange(c *paxos.Change) string {
	var members []string
	for _, m := range c.Members {
		members = append(members, fmt.Sprintf("%d", m.ID))
	}
	return fmt.Sprintf("members %s instead of epoch %d", strings.Join(members, " "), c.Replaces)
}
