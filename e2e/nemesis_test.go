package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var minutesFlag = flag.Float64("minutes", 0, "how long the nemesis goes on, in minutes, with a new cluster each round; 0 for few rounds")

const (
	// stepsPerRound is how many steps the nemesis takes against one cluster: what one search for an order can bear.
	stepsPerRound = 8
	// calmMin and calmMax bound the time between two steps.
	calmMin, calmMax = 300 * time.Millisecond, time.Second
	// faultMin and faultMax bound how long a fault lasts. Below is a hiccup that nobody should answer with an election, above is like for ever.
	faultMin, faultMax = 100 * time.Millisecond, 4 * time.Second
	// healedWithin bounds the time from the end of a fault to the next write: members may have to start, back off, elect and catch up, on a busy machine.
	healedWithin = 15 * time.Second
)

// TestNemesis runs clusters of 3 and of 5 members under faults that a seed decides, and has everything judged that clients were told.
func TestNemesis(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	end := time.Now().Add(time.Duration(*minutesFlag * float64(time.Minute)))
	rounds := uint64(2)
	if *namespacesFlag {
		rounds = 1 // the second form need not repeat all of the first
	}
	for round := uint64(0); round < rounds || time.Now().Before(end); round++ {
		members := 5 - 2*int(round%2)
		t.Run(fmt.Sprintf("%d members, seed %d", members, seed+round), func(t *testing.T) {
			c, w := newNetworkedCluster(t, members)
			torment(t, c, w, seed+round)
		})
	}
}

// torment runs one round.
func torment(t *testing.T, c *cluster, w network, seed uint64) {
	plan := drawSchedule(seed, len(c.members), faultsOf(w))
	t.Logf("nemesis over %s, %d members, seed %d:\n%s", w.form(), len(c.members), seed, plan)
	c.start()
	s := startClients(c, seed)
	var resumed []time.Duration
	n := &nemesis{t: t, cluster: c, network: w, after: func(step step) {
		took := s.awaitWrite(time.Now())
		if took > healedWithin {
			t.Errorf("after %v, the next write took %v", step, took)
		}
		resumed = append(resumed, took)
	}}
	n.carryOut(plan)
	s.judge(c)
	t.Logf("after each fault the next write took: %s", figures(resumed))
}

// pass lets a fault last, or calm.
func pass(d time.Duration) { <-time.After(d) }

// schedule is what the nemesis does, one step after the other.
type schedule []step

// step is one fault, or one of a process during one of the network.
type step struct {
	calm, lasts time.Duration
	victim      int // 0 is the leader of the moment; others are counted from it
	process     processFault
	network     networkFault
}

func drawSchedule(seed uint64, members int, networkFaults []networkFault) schedule {
	random := rand.New(rand.NewPCG(seed, 0))
	plan := make(schedule, stepsPerRound)
	for i := range plan {
		s := step{
			calm:  calmMin + time.Duration(random.Int64N(int64(calmMax-calmMin))),
			lasts: faultMin + time.Duration(random.Int64N(int64(faultMax-faultMin))),
		}
		if random.IntN(3) == 0 {
			s.victim = random.IntN(members)
		}
		switch random.IntN(6) {
		case 0, 1:
			s.process = processFaults[random.IntN(len(processFaults))]
		case 2, 3:
			s.network = networkFaults[random.IntN(len(networkFaults))]
		case 4:
			s.process = replacement
		default:
			s.process, s.network = processFaults[random.IntN(len(processFaults))], networkFaults[random.IntN(len(networkFaults))]
		}
		plan[i] = s
	}
	return plan
}

func (s schedule) String() string {
	lines := make([]string, len(s))
	for i, step := range s {
		lines[i] = fmt.Sprintf("  %2d. after %v: %v", i+1, step.calm.Round(time.Millisecond), step)
	}
	return strings.Join(lines, "\n")
}

func (s step) String() string {
	var faults []string
	if s.network.name != "" {
		faults = append(faults, s.network.name)
	}
	if s.process.name != "" {
		faults = append(faults, s.process.name)
	}
	who := "the leader"
	if s.victim > 0 {
		who = fmt.Sprintf("member %d from the leader", s.victim)
	}
	return fmt.Sprintf("%s (%s, for %v)", strings.Join(faults, " and "), who, s.lasts.Round(time.Millisecond))
}

// nemesis does harm to a cluster and undoes it.
type nemesis struct {
	t       *testing.T
	cluster *cluster
	network network
	after   func(step) // called when the faults of a step have been undone; may be nil
	undoing []func()
}

// carryOut takes all steps of a plan, and undoes each.
func (n *nemesis) carryOut(plan schedule) {
	n.t.Helper()
	for _, step := range plan {
		pass(step.calm)
		n.begin(step)
		pass(step.lasts)
		n.undo()
		if n.after != nil {
			n.after(step)
		}
	}
}

func (n *nemesis) begin(s step) {
	n.t.Helper()
	victim := n.from(n.cluster.leader(), s.victim)
	if s.network.apply != nil {
		s.network.apply(n, victim)
		n.undoing = append(n.undoing, n.network.heal)
	}
	if s.process.apply != nil {
		s.process.apply(n, victim)
	}
}

// undo undoes everything, the last first.
func (n *nemesis) undo() {
	for len(n.undoing) > 0 {
		last := len(n.undoing) - 1
		n.undoing[last]()
		n.undoing = n.undoing[:last]
	}
}

// from returns the member that is so many places from m.
func (n *nemesis) from(m *member, places int) *member {
	members := n.cluster.members
	for i, other := range members {
		if other == m {
			return members[(i+places)%len(members)]
		}
	}
	return m
}

// others are all members but m.
func (n *nemesis) others(m *member) []*member {
	var others []*member
	for i := 1; i < len(n.cluster.members); i++ {
		others = append(others, n.from(m, i))
	}
	return others
}

// processFault is one that befalls processes; the zero one does nothing.
type processFault struct {
	name  string
	apply func(n *nemesis, victim *member)
}

var processFaults = []processFault{
	{"kill", func(n *nemesis, victim *member) { n.kill(victim) }},
	{"kill all", func(n *nemesis, victim *member) { n.kill(n.cluster.members...) }},
	{"pause", func(n *nemesis, victim *member) { n.pause(victim) }},
	{"pause all others", func(n *nemesis, victim *member) { n.pause(n.others(victim)...) }},
}

// replacement removes a member, and later adds another one in its place, with nothing on its disk. It is a step of its own: the cluster would refuse a change of its members
// while it cannot hear a majority.
var replacement = processFault{"replace", func(n *nemesis, victim *member) { n.replace(victim) }}

func (n *nemesis) replace(victim *member) {
	n.t.Helper()
	n.cluster.remove(victim)
	n.undoing = append(n.undoing, func() { n.network.rename(victim, n.cluster.addAgain(victim)) })
}

func (n *nemesis) kill(victims ...*member) {
	killAtOnce(victims)
	n.undoing = append(n.undoing, func() { startAll(victims) })
}

func (n *nemesis) pause(victims ...*member) {
	for _, m := range victims {
		m.signal(syscall.SIGSTOP)
		n.undoing = append(n.undoing, func() { m.signal(syscall.SIGCONT) })
	}
}

// signal sends a signal that the process survives.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatalf("cannot send %v to %s: %v", s, p.name, err)
	}
}

// networkFault is one that befalls links; the zero one does nothing.
type networkFault struct {
	name  string
	apply func(n *nemesis, victim *member)
}

var networkFaults = []networkFault{
	{"isolate", func(n *nemesis, victim *member) {
		for _, m := range n.others(victim) {
			part(n.network, victim, m)
		}
	}},
	{"make deaf", func(n *nemesis, victim *member) {
		for _, m := range n.others(victim) {
			n.network.cut(m, victim)
		}
	}},
	{"make mute", func(n *nemesis, victim *member) {
		for _, m := range n.others(victim) {
			n.network.cut(victim, m)
		}
	}},
	{"cut one link, one way", func(n *nemesis, victim *member) { n.network.cut(victim, n.from(victim, 1)) }},
	{"leave all but links to the next member cut", func(n *nemesis, victim *member) {
		star(n.network, n.cluster.members, n.from(victim, 1))
	}},
	{"leave a chain", func(n *nemesis, victim *member) {
		chain(n.network, append([]*member{victim}, n.others(victim)...))
	}},
	{"split, the victim among the fewer", func(n *nemesis, victim *member) {
		others := n.others(victim)
		few := len(n.cluster.members) / 2 // the victim included
		for _, a := range append([]*member{victim}, others[:few-1]...) {
			for _, b := range others[few-1:] {
				part(n.network, a, b)
			}
		}
	}},
	{"part from clients", func(n *nemesis, victim *member) { part(n.network, victim, nil) }},
	{"lose a fifth of all packets", func(n *nemesis, victim *member) {
		const percent = 20
		n.eachLink(func(a, b *member) { n.network.lose(a, b, percent) })
	}},
	{"reset all connections", func(n *nemesis, victim *member) { n.eachLink(n.network.reset) }},
}

// slower is a network that can delay what it carries.
type slower interface {
	delay(from, to *member, by time.Duration)
}

// faultsOf are those that a network can bring about.
func faultsOf(w network) []networkFault {
	slow, can := w.(slower)
	if !can {
		return networkFaults
	}
	const each = 150 * time.Millisecond // longer than a heartbeat, shorter than what is suspicious
	return append(slices.Clone(networkFaults), networkFault{"delay all", func(n *nemesis, _ *member) {
		n.eachLink(func(a, b *member) { slow.delay(a, b, each) })
	}})
}

func (n *nemesis) eachLink(do func(a, b *member)) {
	for _, a := range n.cluster.members {
		for _, b := range n.others(a) {
			do(a, b)
		}
	}
}
