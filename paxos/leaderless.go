package paxos

// Leaderless says why a node follows nobody. It is told to operators; nothing in the protocol goes by it.
type Leaderless uint8

const (
	Led           Leaderless = iota // there is a leader, and this node follows it; as a reason: it has given way to another
	NeverLed                        // no ballot has been heard of
	DiskStalled                     // this node led, and its disk does not answer
	NoProgress                      // this node led, and nothing that it has proposed gets chosen
	Unfollowed                      // this node led, and too few of those who vote can be heard
	Restarted                       // this node led before it was restarted
	LeaderSilent                    // the leader is not heard
	LeaderResting                   // the leader is heard, and does not lead, or not yet
	HeardByOthers                   // the leader is not heard here, but by others, who pass on what is meant for it
)

func (w Leaderless) String() string {
	switch w {
	case Led:
		return "leadership has passed on, at a higher ballot"
	case NeverLed:
		return "there has been no leader yet"
	case DiskStalled:
		return "this member's disk does not answer: it does not lead any more"
	case NoProgress:
		return "nothing that this member proposes gets chosen: it does not lead any more"
	case Unfollowed:
		return "this member hears too few of those who vote to lead"
	case Restarted:
		return "this member led before it was restarted"
	case LeaderSilent:
		return "the leader is not heard"
	case LeaderResting:
		return "the leader is heard and says that it does not lead"
	case HeardByOthers:
		return "the leader is heard by others, not by this member"
	}
	return "unknown"
}

// leaderless judges what the last round has brought.
func (e *election) leaderless() Leaderless {
	led := e.seen.Node == e.r.cfg.Self
	switch {
	case e.happy:
		return Led
	case e.seen.IsZero():
		return NeverLed
	case led && e.own != e.seen:
		return Restarted
	case led && e.r.diskStalled():
		return DiskStalled
	case led && e.r.now < e.unfitTill:
		return NoProgress
	case led:
		return Unfollowed
	case e.connected(e.seen.Node):
		return LeaderResting
	case e.route() != 0:
		return HeardByOthers
	}
	return LeaderSilent
}
