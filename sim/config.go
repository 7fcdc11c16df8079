package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"synod.dev/synod/paxos"
)

// Config is what one seed draws: the cluster and its surroundings. Times are in microseconds of simulated time, rates in events of 1,000.
type Config struct {
	Roles          roles // of members 1, 2, …: the founders
	Spares         int   `json:",omitempty"` // nodes that are none; without any the membership never changes
	Bare           int   `json:",omitempty"` // the last ones of them have no state machine
	Phase1, Phase2 int
	HeartbeatTicks int
	SuspectTicks   int
	ResendTicks    int
	Window         int // α, in slots
	Limits         paxos.Limits
	SegmentBytes   int64

	DelayLeast, DelayMean    int64 // of a message: at least, and on top of that
	Loss, Duplicate, Corrupt int
	Late                     int  // messages that take up to some suspicion times
	Ordered                  bool // messages of one sender to one receiver do not overtake each other
	SyncLeast, SyncMean      int64
	SkewMost                 int   // tickers are at most so much too fast or slow
	IdleDelay                int64 // how long an inbox gathers before it counts as empty
	ApplyDelay               int64 // how long a state machine takes to get to work
	SaveOneIn                int   // the machine's state is made durable after one in so many slots
	TrimOneIn                int   // the log is trimmed after one in so many writes; 0 for never,
	TrimKeep                 int   // and so many slots are kept for peers; if negative, all that some machine has not saved

	FaultMean   int64 // between two faults
	Faults      []int // weights, by Kind
	Frail       int   // members that may lose data for good
	RequestMean int64 // between two requests
	ReadShare   int
	ValueBytes  int // at most, beyond the least that a command takes
	Sources     int
	Patience    int64 // after which a client gives up, not knowing

	Sessions        int   `json:",omitempty"` // clients that have them
	SessionShare    int   `json:",omitempty"` // of requests
	SessionTTL      int64 `json:",omitempty"`
	SessionPatience int64 `json:",omitempty"` // after which a client asks again, somebody else
	ClockMost       int64 `json:",omitempty"` // clocks are at most so much ahead or behind
}

// tickMicros is one tick of a clock that goes right.
const tickMicros = 1000

// roles are those of all members. As text each member is a word of the letters p, a and l, for proposer, acceptor and learner.
type roles []paxos.Role

const roleLetters = "pal"

func (r roles) MarshalText() ([]byte, error) {
	var words []string
	for _, role := range r {
		word := ""
		for bit, letter := range roleLetters {
			if role>>bit&1 == 1 {
				word += string(letter)
			}
		}
		words = append(words, word)
	}
	return []byte(strings.Join(words, " ")), nil
}

func (r *roles) UnmarshalText(text []byte) error {
	*r = nil
	for _, word := range strings.Fields(string(text)) {
		var role paxos.Role
		for _, letter := range word {
			bit := strings.IndexRune(roleLetters, letter)
			if bit < 0 {
				return fmt.Errorf("sim: %q is no role: p, a and l are", letter)
			}
			role |= 1 << bit
		}
		*r = append(*r, role)
	}
	return nil
}

func (c Config) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const full = paxos.FullMember

// clusters are the kinds of clusters that seeds draw from. The last numbers are the quorums; 0 stands for majorities.
var clusters = []struct {
	roles          []paxos.Role
	phase1, phase2 int
	weight         int
}{
	{[]paxos.Role{full}, 0, 0, 1},
	{[]paxos.Role{full, full}, 0, 0, 1},
	{[]paxos.Role{full, full, full}, 0, 0, 10},
	{[]paxos.Role{full, full, full, full}, 0, 0, 2},
	{[]paxos.Role{full, full, full, full, full}, 0, 0, 6},
	{[]paxos.Role{full, full, full, full, full, full, full}, 0, 0, 2},
	{[]paxos.Role{full, full, full, full}, 3, 2, 2},
	{[]paxos.Role{full, full, full, full}, 2, 3, 2},
	{[]paxos.Role{full, full, full}, 3, 1, 1},
	{[]paxos.Role{full, full, full, full, full}, 4, 2, 2},
	{[]paxos.Role{full, full, full, paxos.Learner, paxos.Proposer | paxos.Learner}, 2, 2, 2},
	{[]paxos.Role{paxos.Acceptor | paxos.Learner, paxos.Acceptor | paxos.Learner, paxos.Acceptor | paxos.Learner,
		paxos.Proposer | paxos.Learner, paxos.Proposer | paxos.Learner}, 2, 2, 2},
}

// drawConfig draws a seed's configuration ("swarm testing", Groce et al., 2012): each leaves out some kinds of faults, so that none always hides another.
func drawConfig(seed uint64) Config {
	r := derive(seed, "config", 0)
	var c Config
	c.drawCluster(r)
	c.drawLimits(r)
	c.drawNetwork(r)
	c.drawShell(r)
	c.drawFaults(r)
	c.drawWorkload(r)
	c.drawMembership(derive(seed, "membership", 0))
	c.drawRoles(derive(seed, "roles", 0))
	c.drawSessions(derive(seed, "sessions", 0))
	return c
}

func (c *Config) drawCluster(r *rand.Rand) {
	total := 0
	for _, k := range clusters {
		total += k.weight
	}
	n := r.IntN(total)
	for _, k := range clusters {
		if n -= k.weight; n < 0 {
			c.Roles, c.Phase1, c.Phase2 = k.roles, k.phase1, k.phase2
			break
		}
	}
	c.HeartbeatTicks = pick(r, 2, 5, 10, 10)
	c.SuspectTicks = c.HeartbeatTicks * pick(r, 2, 3, 4, 5, 8)
	c.ResendTicks = c.HeartbeatTicks * pick(r, 1, 2, 2, 3)
}

func (c *Config) drawLimits(r *rand.Rand) {
	l := &c.Limits
	c.Window = pick(r, 1, 2, 4, 8, 32, 1024)
	l.BatchBytes = pick(r, 64, 200, 1000, 1<<20)
	l.ChunkBytes = pick(r, 100, 200, 1000, 1<<16)
	l.CacheBytes = pick(r, 1, 500, 2000, 1<<20)
	l.InflightBytes = pick(r, 200, 2000, 1<<20)
	l.AdmissionCount = pick(r, 2, 8, 64, 1024)
	l.QuantumBytes = pick(r, 64, 1000, 16<<10)
	if oneIn(r, 4) {
		l.ReorderingSlots = c.Window
	}
	c.SegmentBytes = pick[int64](r, 4<<10, 16<<10, 64<<10, 256<<10)
}

func (c *Config) drawNetwork(r *rand.Rand) {
	c.DelayLeast = pick[int64](r, 50, 200, 500, 1000)
	c.DelayMean = pick[int64](r, 10, 200, 1000, 3000)
	c.Loss = pick(r, 0, 0, 0, 5, 20, 100, 300)
	c.Duplicate = pick(r, 0, 0, 10, 100, 500)
	c.Corrupt = pick(r, 0, 0, 0, 1, 5)
	c.Late = pick(r, 0, 0, 5, 50)
	c.Ordered = oneIn(r, 3)
}

func (c *Config) drawShell(r *rand.Rand) {
	c.SyncLeast = pick[int64](r, 20, 100, 500)
	c.SyncMean = pick[int64](r, 10, 300, 1000, 5000)
	c.SkewMost = pick(r, 0, 1, 50, 300)
	c.IdleDelay = pick[int64](r, 0, 0, 50, 300, 1000)
	c.ApplyDelay = pick[int64](r, 0, 0, 100, 2000)
	c.SaveOneIn = pick(r, 1, 4, 30, 200)
	c.TrimOneIn = pick(r, 0, 3, 10)
	c.TrimKeep = pick(r, -1, 0, 10, 100)
}

func (c *Config) drawFaults(r *rand.Rand) {
	suspect := int64(c.SuspectTicks * tickMicros)
	c.FaultMean = suspect * pick[int64](r, 1, 3, 6, 20) / 4
	c.Faults = make([]int, kinds)
	for k := range kinds {
		if faultWeights[k] > 0 && r.IntN(3) > 0 {
			c.Faults[k] = faultWeights[k]
		}
	}
	if r.IntN(2) == 0 { // who has lost all cannot rot
		c.Faults[Wipe], c.Faults[WreckVital] = 0, 0
	}
	if spare := c.acceptors() - max(c.quorums()); spare > 0 && r.IntN(4) > 0 {
		c.Frail = 1 + r.IntN(spare)
	}
}

func (c *Config) drawWorkload(r *rand.Rand) {
	c.RequestMean = pick[int64](r, 200, 500, 1000, 4000)
	c.ReadShare = pick(r, 0, 100, 300, 700)
	c.ValueBytes = pick(r, 1, 50, 400)
	c.Sources = pick(r, 1, 3, 10)
	c.Patience = int64(c.SuspectTicks*tickMicros) * pick[int64](r, 2, 5, 20)
}

// drawMembership has the membership of one cluster in three change. Disks that lose data are lost as a whole there.
func (c *Config) drawMembership(r *rand.Rand) {
	if !oneIn(r, 3) {
		return
	}
	founders := 1 + r.IntN(5)
	c.Roles, c.Phase1, c.Phase2 = slices.Repeat([]paxos.Role{full}, founders), 0, 0
	c.Spares = 1 + r.IntN(nodesMost-founders)
	c.Window = pick(r, 1, 2, 3, 8, 20)
	c.Limits.ReorderingSlots = 0
	c.Frail = 0
	c.Faults[Change] = pick(r, 10, 30, 60)
	c.Faults[Lose] = pick(r, 0, 4, 20)
}

// drawRoles gives the founders of one cluster in three any roles, and quorums of any sizes, that a configuration allows.
func (c *Config) drawRoles(r *rand.Rand) {
	if !oneIn(r, 3) {
		return
	}
	n := len(c.Roles)
	if c.Spares == 0 {
		n = 3 + r.IntN(nodesMost-2)
	}
	for c.Roles, c.Phase1, c.Phase2 = anyRoles(r, n); c.check() != nil; {
		c.Roles, c.Phase1, c.Phase2 = anyRoles(r, n)
	}
	c.Frail = min(c.Frail, c.acceptors()-max(c.quorums()))
	for !c.ledWithout(c.Frail) {
		c.Frail--
	}
	if c.Spares > 0 {
		c.Bare = r.IntN(c.Spares + 1)
	}
}

// drawSessions has clients with sessions in one cluster of three.
func (c *Config) drawSessions(r *rand.Rand) {
	if !oneIn(r, 3) {
		return
	}
	suspect := int64(c.SuspectTicks * tickMicros)
	c.Sessions = pick(r, 1, 3, 10)
	c.SessionShare = pick(r, 100, 300, 700)
	c.SessionTTL = suspect * pick[int64](r, 1, 5, 20, 1000)
	c.SessionPatience = suspect * pick[int64](r, 1, 2, 8) / 2
	c.ClockMost = c.SessionTTL * pick[int64](r, 0, 1, 3) / 4
}

// ledWithout reports whether somebody may lead when the last acceptors, so many, are gone.
func (c *Config) ledWithout(frail int) bool {
	for _, role := range slices.Backward(c.Roles) {
		switch {
		case role&paxos.Acceptor != 0 && frail > 0:
			frail--
		case role.MayLead():
			return true
		}
	}
	return false
}

// anyRoles draws roles of members, and quorums that meet.
func anyRoles(r *rand.Rand, n int) (all roles, phase1, phase2 int) {
	acceptors := 0
	for range n {
		role := pick(r, full, full, full, paxos.Acceptor, paxos.Acceptor, paxos.Learner, paxos.Proposer, paxos.Acceptor|paxos.Learner, paxos.Proposer|paxos.Learner, paxos.Proposer|paxos.Acceptor)
		all = append(all, role)
		acceptors += int(role & paxos.Acceptor / paxos.Acceptor)
	}
	if acceptors > 0 && oneIn(r, 3) {
		phase1 = 1 + r.IntN(acceptors)
		phase2 = acceptors + 1 - phase1
	}
	return all, phase1, phase2
}

// check says why the founders are none that an operator may choose.
func (c *Config) check() error {
	config, err := c.founders()
	if err != nil {
		return err
	}
	return config.CheckRoles()
}

// founders returns the first configuration.
func (c *Config) founders() (*paxos.Configuration, error) {
	members := make([]paxos.Member, len(c.Roles))
	for i, role := range c.Roles {
		members[i] = paxos.Member{ID: paxos.NodeID(i + 1), Incarnation: firstIncarnation(i), Roles: role}
	}
	config, err := paxos.NewConfiguration(0, members, c.Phase1, c.Phase2)
	if err != nil {
		return nil, err
	}
	return config.WithWindow(c.Window), nil
}

// isBare reports whether a node has no state machine: it never learns.
func (c *Config) isBare(node int) bool {
	if node < len(c.Roles) {
		return c.Roles[node]&paxos.Learner == 0
	}
	return node >= c.nodes()-c.Bare
}

// nodesMost is how many nodes a cluster has at most: a partition is a bit for each link.
const nodesMost = 7

// nodes returns how many there are: founders and spares.
func (c *Config) nodes() int { return len(c.Roles) + c.Spares }

func (c *Config) acceptors() (n int) {
	for _, role := range c.Roles {
		if role&paxos.Acceptor != 0 {
			n++
		}
	}
	return n
}

// quorums returns the sizes of the two kinds of quorums.
func (c *Config) quorums() (phase1, phase2 int) {
	if c.Phase1 == 0 {
		majority := c.acceptors()/2 + 1
		return majority, majority
	}
	return c.Phase1, c.Phase2
}
