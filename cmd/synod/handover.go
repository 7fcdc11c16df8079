package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"synod.dev/synod"
)

// handOver lets another member lead before this one stops, so that the others need not find out by its silence. It gives up after handOverBound: then they elect
// somebody as if this one had died.
func (m *member) handOver() {
	status := m.node.Status()
	if status.Leader != status.ID {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverBound)
	defer cancel()
	var refusals []error
	for _, heir := range heirs(status) {
		err := m.node.MoveLeader(ctx, heir.ID)
		if err == nil {
			return
		}
		refusals = append(refusals, err)
	}
	if len(refusals) > 0 {
		m.logger.Warn("cannot hand leadership over before stopping: the others elect a leader once this member is silent", "error", errors.Join(refusals...))
	}
}

// heirs are the members that could lead, those first that lag least.
func heirs(status synod.Status) []synod.MemberStatus {
	able := slices.DeleteFunc(slices.Clone(status.Members), func(m synod.MemberStatus) bool { return m.Self || !m.Connected || !m.Proposer || !m.Learner })
	slices.SortFunc(able, func(a, b synod.MemberStatus) int { return cmp.Compare(a.Lag, b.Lag) })
	return able
}
