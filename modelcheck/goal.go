package modelcheck

import "strings"

// goals are situations that a world must get into somewhere, or it proves little.
type goals uint32

const (
	chosenLater     goals = 1 << iota // a leader of a second round gets a value chosen
	valueIsAdopted                    // a leader proposes a value that it has found, and not its own
	twoLead                           // two members lead at once
	leaderIsDeposed                   // a leader learns of another
	holeIsFilled                      // a no-op is proposed
	voteIsLost                        // a vote that was not synced is lost in a crash
	promiseIsLost                     // a promise that was not synced is lost in a crash
	recordIsLost                      // the disk loses a durable record
	readIsServed
	snapshotIsInstalled // below a vote on the same disk
	trimmedRestarts     // a member crashes whose log is trimmed
	membershipChanges   // a change is chosen and comes into force
	newMembersChoose    // a slot of the next configuration is chosen
	changeIsDropped     // somebody who has voted for a change votes for something else in its slot
	changeIsSuperseded  // a change is chosen, or refused, that was made from another configuration than the latest
	replacementComes    // a node comes back with an empty disk, in another incarnation
)

var goalNames = []string{"a later round chooses", "a value is adopted", "two members lead", "a leader is deposed", "a hole is filled with a no-op",
	"a crash loses a vote", "a crash loses a promise", "a disk loses a record", "a read is served",
	"a snapshot is installed below a vote", "a member restarts with a trimmed log",
	"the membership changes", "the members that it has changed to choose a value", "another value takes the slot of a change that was voted for", "a change is superseded", "a replacement comes"}

func (g goals) String() string {
	var names []string
	for i, name := range goalNames {
		if g>>i&1 == 1 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
