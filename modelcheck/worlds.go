package modelcheck

import (
	"slices"

	"synod.dev/synod/paxos"
)

// Answers that change nothing but what a proposer thinks of its chances. They matter where it is told what is chosen; elsewhere their loss saves many states.
var hints = []paxos.MessageKind{paxos.Nack, paxos.Learned, paxos.Commit}

// accept is a member that is an acceptor and nothing else.
var accept = member{roles: paxos.Acceptor}

// propose is a member that is a proposer and nothing else, with a ballot in each of these rounds.
func propose(commands int, rounds ...uint64) member {
	return member{roles: paxos.Proposer, rounds: rounds, commands: commands}
}

// lead is a member that proposes and learns: a membership that is asked for must have one.
func lead(commands int, rounds ...uint64) member {
	m := propose(commands, rounds...)
	m.roles |= paxos.Learner
	return m
}

func (m member) crashing(n int) member { m.crashes = n; return m }
func (m member) reading(n int) member  { m.reads = n; return m }
func (m member) losing(n int) member   { m.losses = n; return m }
func (m member) serving() member       { m.serves = true; return m }
func (m member) installing() member    { m.installs = true; return m }

// full is a member with all roles.
func full(commands int, rounds ...uint64) member {
	m := propose(commands, rounds...)
	m.roles = paxos.FullMember
	return m
}

func members(n int, m member, others ...member) []member {
	return append(slices.Repeat([]member{m}, n), others...)
}

var worlds = []World{
	{
		Name:    "late-answers",
		About:   "3 acceptors, 1 proposer with two ballots, 1 slot; answers to the one that it has given up are delivered as well",
		members: members(3, accept, propose(1, 1, 2)),
		slots:   1,
		late:    true,
		lost:    hints,
		goals:   chosenLater,
	},
	{
		Name:    "two-ballots",
		About:   "3 acceptors, 2 proposers with a ballot each, 1 slot; what is repeated and comes late is delivered as well",
		members: members(3, accept, propose(1, 1), propose(1, 1)),
		slots:   1,
		late:    true,
		lost:    hints,
		goals:   valueIsAdopted | twoLead,
	},
	{
		Name:    "overtaken",
		About:   "3 acceptors, a proposer with two ballots and one with a ballot between them, 1 slot",
		members: members(3, accept, propose(1, 1, 2), propose(1, 1)),
		slots:   1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | chosenLater,
	},
	{
		Name:    "refusals",
		About:   "3 acceptors, 2 proposers with a ballot each, 1 slot; acceptors say what they refuse",
		members: members(3, accept, propose(1, 1), propose(1, 1)),
		slots:   1,
		lost:    []paxos.MessageKind{paxos.Commit, paxos.Learned},
		goals:   valueIsAdopted | twoLead | leaderIsDeposed,
	},
	{
		Name:    "crash",
		About:   "3 acceptors, of which one crashes, disks that sync at any time, 2 proposers with a ballot each, 1 slot",
		members: members(3, accept.crashing(1), propose(1, 1), propose(1, 1)),
		slots:   1,
		crashes: 1,
		disk:    anyTime,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | voteIsLost | promiseIsLost,
	},
	{
		Name:    "restarts",
		About:   "2 members with all roles and an acceptor, of which one crashes, disks that sync at any time, 2 ballots, 1 slot",
		members: []member{full(1, 1).crashing(1), full(1, 1).crashing(1), accept.crashing(1)},
		slots:   1,
		crashes: 1,
		disk:    anyTime,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | voteIsLost | promiseIsLost,
	},
	{
		Name:    "lost-record",
		About:   "3 acceptors, of which one loses a vote from its disk, 2 proposers with a ballot each, 1 slot",
		members: []member{accept.crashing(1).losing(1), accept, accept, propose(1, 1), propose(1, 1)},
		slots:   1,
		crashes: 1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | recordIsLost,
	},
	{
		Name:    "full-members",
		About:   "2 members with all roles, which lead and tell each other what is chosen, and an acceptor, 1 slot",
		members: []member{full(1, 1).serving(), full(1, 1).serving(), accept},
		slots:   1,
		lost:    []paxos.MessageKind{paxos.Nack},
		goals:   valueIsAdopted | twoLead | leaderIsDeposed,
	},
	{
		Name:    "reads",
		About:   "3 acceptors, 2 proposers with a ballot each, both given a command and one of them read from, 1 slot",
		members: members(3, accept, propose(1, 1).reading(1), propose(1, 1)),
		slots:   1,
		lost:    hints,
		goals:   twoLead | readIsServed,
	},
	{
		Name:    "first-reads",
		About:   "3 acceptors, 2 proposers with a ballot each, the later of which is read from before it has recovered, 1 slot",
		members: members(3, accept, propose(1, 1), propose(0, 1).reading(1)),
		slots:   1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | readIsServed,
	},
	{
		Name:       "forwarded-reads",
		About:      "2 acceptors, 2 proposers with a ballot each, which hand their reads to who leads, 1 slot",
		members:    members(2, accept, propose(0, 1).reading(2), propose(1, 1).reading(1)),
		slots:      1,
		acquainted: true,
		lost:       []paxos.MessageKind{paxos.Nack, paxos.Learned},
		goals:      twoLead | readIsServed,
	},
	{
		Name:       "answered-reads",
		About:      "2 members with all roles, which lead and ask each other to confirm their reads, and an acceptor: a request and the leader are a quorum, 1 slot",
		Size:       Large,
		members:    []member{full(1, 1).reading(1), full(0, 1).reading(1), accept},
		slots:      1,
		acquainted: true,
		lost:       []paxos.MessageKind{paxos.Nack, paxos.Learned},
		goals:      twoLead | readIsServed,
	},
	{
		Name:    "flexible",
		About:   "4 acceptors, phase-1 quorums of 3 and phase-2 quorums of 2, 2 ballots, 1 slot",
		members: members(4, accept, propose(1, 1), propose(1, 1)),
		phase1:  3,
		phase2:  2,
		slots:   1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead,
	},
	{
		Name:    "hole",
		About:   "2 acceptors, phase-1 quorums of 2 and phase-2 quorums of 1, 2 proposers with a ballot each, one of them with two commands, 2 slots",
		members: members(2, accept, propose(2, 1), propose(1, 1)),
		phase1:  2,
		phase2:  1,
		slots:   2,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | holeIsFilled,
	},
	{
		Name:    "full-restarts",
		About:   "3 members with all roles, of which two lead and one crashes, disks that sync at any time, 2 ballots, 1 slot; they tell each other what is chosen",
		members: []member{full(1, 1).crashing(1), full(1, 1).crashing(1), full(0).crashing(1)},
		slots:   1,
		crashes: 1,
		disk:    anyTime,
		lost:    []paxos.MessageKind{paxos.Nack},
		goals:   valueIsAdopted | twoLead | voteIsLost | promiseIsLost,
	},
	{
		Name:      "install",
		About:     "2 acceptors, of which one crashes, phase-1 quorums of 2 and phase-2 quorums of 1, disks that sync at any time, 2 proposers with a ballot each, 2 slots; snapshots are installed at any time, but at one of the acceptors, and logs trimmed",
		members:   []member{accept.crashing(1).installing(), accept, propose(2, 1).installing(), propose(1, 1).installing()},
		phase1:    2,
		phase2:    1,
		slots:     2,
		crashes:   1,
		disk:      anyTime,
		snapshots: true,
		lost:      hints,
		goals:     valueIsAdopted | twoLead | snapshotIsInstalled | trimmedRestarts,
	},
	{
		Name:    "change",
		About:   "acceptors 1 and 2 are changed for 2 and 3; phase-1 quorums of 1 and phase-2 quorums of 2, then majorities; 2 proposers with a ballot each, one of which asks for it, 2 slots and a window of 1",
		members: append(members(2, accept), accept.joining(), lead(1, 1).changing(0, 2, 3, 4, 5), lead(1, 1)),
		phase1:  1,
		phase2:  2,
		slots:   2,
		window:  1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | membershipChanges | newMembersChoose | changeIsDropped,
	},
	{
		Name:    "sealed-change",
		About:   "acceptors 1 and 2 are changed for 2 and 3; 2 proposers with a ballot each, one of which asks for it, 3 slots and a window of 2",
		members: append(members(2, accept), accept.joining(), lead(1, 1).changing(0, 2, 3, 4, 5), lead(1, 1)),
		slots:   3,
		window:  2,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | membershipChanges | newMembersChoose | holeIsFilled,
	},
	{
		Name:    "two-changes",
		About:   "of acceptors 1 and 2 one is changed for 3, by 2 proposers with a ballot each, each of which asks for another change; 2 slots and a window of 1",
		members: append(members(2, accept), accept.joining(), lead(1, 1).changing(0, 1, 3, 4, 5), lead(1, 1).changing(0, 2, 3, 4, 5)),
		phase1:  1,
		phase2:  2,
		slots:   2,
		window:  1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | membershipChanges | newMembersChoose | changeIsDropped | changeIsSuperseded,
	},
	{
		Name:    "change-reads",
		About:   "acceptor 1 is changed for 2; 2 proposers with a ballot each, both of which are read from, 2 slots and a window of 1",
		members: append(members(1, accept), accept.joining(), lead(1, 1).changing(0, 2, 3, 4).reading(1), lead(1, 1).reading(1)),
		slots:   2,
		window:  1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | membershipChanges | newMembersChoose | readIsServed,
	},
	{
		Name:      "change-restarts",
		About:     "of 2 members, one of which has all roles, that one is changed for another; both lead with a ballot each, and the first crashes; disks sync at any time, snapshots are installed at any time and logs trimmed; 2 slots and a window of 1",
		members:   []member{full(1, 1, 2).crashing(1).changing(0, 2, 3).installing(), full(1, 1, 2).joining().installing(), accept},
		slots:     2,
		window:    1,
		crashes:   1,
		disk:      anyTime,
		snapshots: true,
		lost:      []paxos.MessageKind{paxos.Nack},
		goals:     membershipChanges | newMembersChoose | trimmedRestarts,
	},
	{
		Name:    "replacement",
		About:   "of 2 acceptors one loses its disk and is replaced by itself in another incarnation; 2 proposers with a ballot each, one of which asks for it, 2 slots and a window of 1",
		members: append(members(2, accept), accept.replacing(1), lead(1, 1).changing(0, 3, 2, 4, 5), lead(1, 1)),
		slots:   2,
		window:  1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | membershipChanges | newMembersChoose | replacementComes,
	},
	{
		Name:     "disjoint-majorities",
		About:    "acceptors 1, 2 and 3 are changed for 3, 4 and 5; 2 proposers with a ballot each, one of which asks for it, 2 slots and a window of 1",
		Size:     Large,
		members:  append(members(3, accept), accept.joining(), accept.joining(), lead(1, 1).changing(0, 3, 4, 5, 6, 7), lead(1, 1)),
		slots:    2,
		window:   1,
		gathered: true,
		lost:     hints,
		goals:    valueIsAdopted | twoLead | membershipChanges | newMembersChoose | changeIsDropped,
	},
	{
		Name:    "change-crash",
		About:   "acceptors 1 and 2 are changed for 2 and 3, the one that stays crashes; disks sync at any time, 2 proposers with a ballot each, one of which asks for the change, 2 slots and a window of 1",
		Size:    Large,
		members: []member{accept, accept.crashing(1), accept.joining(), lead(1, 1).changing(0, 2, 3, 4, 5), lead(1, 1)},
		phase1:  1,
		phase2:  2,
		slots:   2,
		window:  1,
		crashes: 1,
		disk:    anyTime,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | membershipChanges | newMembersChoose | changeIsDropped | voteIsLost | promiseIsLost,
	},
	{
		Name:    "four-ballots",
		About:   "3 acceptors, 2 proposers with two ballots each, 1 slot",
		Size:    Large,
		members: members(3, accept, propose(1, 1, 2), propose(1, 1, 2)),
		slots:   1,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | leaderIsDeposed | chosenLater,
	},
	{
		Name:    "crashes",
		About:   "3 acceptors, of which two crash, disks that sync at any time, 2 proposers with a ballot each, one without commands, 1 slot",
		Size:    Large,
		members: members(3, accept.crashing(1), propose(1, 1), propose(0, 1)),
		slots:   1,
		crashes: 2,
		disk:    anyTime,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | voteIsLost | promiseIsLost,
	},
	{
		Name:    "two-slots",
		About:   "3 acceptors, 2 proposers with a ballot each, 2 slots",
		Size:    Large,
		members: members(3, accept, propose(2, 1), propose(1, 1)),
		slots:   2,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | holeIsFilled,
	},
	{
		Name:    "three-slots",
		About:   "2 acceptors, phase-1 quorums of 2 and phase-2 quorums of 1, 2 proposers with a ballot each, 3 slots",
		Size:    Large,
		members: members(2, accept, propose(3, 1), propose(1, 1)),
		phase1:  2,
		phase2:  1,
		slots:   3,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | holeIsFilled,
	},
	{
		Name:    "three-full-members",
		About:   "3 members with all roles, of which two lead with a ballot each; all tell each other what is chosen, 1 slot",
		Size:    Large,
		members: []member{full(1, 1).serving(), full(1, 1).serving(), full(0).serving()},
		slots:   1,
		lost:    []paxos.MessageKind{paxos.Nack},
		goals:   valueIsAdopted | twoLead | leaderIsDeposed,
	},
	{
		Name:    "three-leaders",
		About:   "3 members with all roles, which lead with a ballot each and tell each other what is chosen, 1 slot",
		Size:    Large,
		members: members(3, full(1, 1).serving()),
		slots:   1,
		lost:    []paxos.MessageKind{paxos.Nack},
		goals:   valueIsAdopted | twoLead | leaderIsDeposed,
	},
	{
		Name:     "five-acceptors",
		About:    "5 acceptors, a proposer with two ballots and one with a ballot between them, 1 slot",
		Size:     Vast,
		members:  members(5, accept, propose(1, 1, 2), propose(1, 1)),
		slots:    1,
		gathered: true,
		lost:     hints,
		goals:    valueIsAdopted | twoLead | chosenLater,
	},
	{
		Name:     "three-ballots-two-slots",
		About:    "3 acceptors, a proposer with two ballots and one with a ballot between them, 2 slots",
		Size:     Vast,
		members:  members(3, accept, propose(2, 1, 2), propose(1, 1)),
		slots:    2,
		gathered: true,
		lost:     hints,
		goals:    valueIsAdopted | twoLead | chosenLater | holeIsFilled,
	},
	{
		Name:     "three-slots-majorities",
		About:    "3 acceptors, 2 proposers with a ballot each, 3 slots",
		Size:     Vast,
		members:  members(3, accept, propose(3, 1), propose(1, 1)),
		slots:    3,
		gathered: true,
		lost:     hints,
		goals:    valueIsAdopted | twoLead | holeIsFilled,
	},
	{
		Name:    "three-ballots-crashes",
		About:   "3 acceptors, of which two crash, disks that sync at any time, a proposer with two ballots and one with a ballot between them, 1 slot",
		Size:    Vast,
		members: members(3, accept.crashing(1), propose(1, 1, 2), propose(1, 1)),
		slots:   1,
		crashes: 2,
		disk:    anyTime,
		lost:    hints,
		goals:   valueIsAdopted | twoLead | chosenLater | voteIsLost | promiseIsLost,
	},
	{
		Name:     "disjoint-majorities-crash",
		About:    "acceptors 1, 2 and 3 are changed for 3, 4 and 5, the one that stays crashes; disks sync at any time, 2 proposers with a ballot each, one of which asks for the change, 2 slots and a window of 1",
		Size:     Vast,
		members:  append(members(2, accept), accept.crashing(1), accept.joining(), accept.joining(), lead(1, 1).changing(0, 3, 4, 5, 6, 7), lead(1, 1)),
		slots:    2,
		window:   1,
		crashes:  1,
		disk:     anyTime,
		gathered: true,
		lost:     hints,
		goals:    valueIsAdopted | twoLead | membershipChanges | newMembersChoose | changeIsDropped | voteIsLost | promiseIsLost,
	},
}
