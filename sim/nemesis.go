package sim

import "math/rand/v2"

// faultWeights says how often each kind of fault is drawn, relative to the others. Requests, and starts, are not drawn here.
var faultWeights = [kinds]int{
	Crash: 12, CrashAmid: 12, CrashBoot: 0, Kill: 4, Stop: 3, Blackout: 2, Pause: 8, Partition: 20, Break: 8, Clog: 8, Replay: 8,
	Rot: 16, RotVital: 3, WreckVital: 8, Wipe: 8, FailIO: 4, FillDisk: 2, Stall: 6, Skew: 3, Leap: 4, Campaign: 14,
}

// nemesis draws faults, and what follows from them: a member that is down starts again, a partition heals.
type nemesis struct {
	w    *world
	rand *rand.Rand
	sum  int
	next []Kind // what is to follow the last fault, at the same member
	at   int
}

func newNemesis(w *world) *nemesis {
	n := &nemesis{w: w, rand: derive(w.seed, "nemesis", 0)}
	for _, weight := range w.cfg.Faults {
		n.sum += weight
	}
	return n
}

// wait draws the time to the next action. What follows another comes before the cluster has got over that.
func (n *nemesis) wait() int64 {
	if len(n.next) > 0 {
		return 1 + around(n.rand, n.w.cfg.DelayLeast+n.w.cfg.DelayMean+n.w.cfg.SyncMean)
	}
	return 1 + around(n.rand, n.w.cfg.FaultMean)
}

// draw returns the next action.
func (n *nemesis) draw() Action {
	a := Action{At: n.w.now, Member: n.rand.IntN(len(n.w.members)), Draw: n.rand.Uint64()}
	if len(n.next) > 0 {
		a.Kind, a.Member, n.next = n.next[0], n.at, n.next[1:]
		return a
	}
	if a.Kind = n.kind(); a.Kind == Start {
		n.start(&a)
		return a
	}
	if n.rand.IntN(3) == 0 {
		if leader := n.w.leader(); leader >= 0 {
			a.Member = leader
		}
	}
	n.target(&a)
	n.argument(&a)
	n.follow(a)
	return a
}

// follow says what comes next: a member is more likely to notice what has rotted when it boots, and some boot again and again.
func (n *nemesis) follow(a Action) {
	n.at = a.Member
	switch {
	case a.Kind == Rot:
		n.next = pick(n.rand, nil, []Kind{Kill, Start}, []Kind{Blackout, Start})
	case a.Kind == WreckVital:
		n.next = []Kind{Start}
	case a.Kind == Campaign && oneIn(n.rand, 2):
		n.next = []Kind{Campaign, Campaign}[n.rand.IntN(2):]
	case a.Kind == Crash && oneIn(n.rand, 3):
		n.next = []Kind{Start, Campaign}
	case a.Kind == Crash && oneIn(n.rand, 6):
		n.next = []Kind{Start, Crash, Start, CrashAmid, Start, Kill, Start}
	}
}

// kind draws the kind of the next action. The more members are down, the more often one of them starts.
func (n *nemesis) kind() Kind {
	if n.rand.IntN(len(n.w.members)+1) < 2*n.w.down() {
		return Start
	}
	if n.sum == 0 {
		return Start
	}
	x := n.rand.IntN(n.sum)
	for k, weight := range n.w.cfg.Faults {
		if x -= weight; x < 0 {
			return Kind(k)
		}
	}
	return Start
}

// start turns a to a member that is down, if there is one, and sometimes has the power fail again during its recovery.
func (n *nemesis) start(a *Action) {
	for range n.w.members {
		if n.w.members[a.Member].mayStart() {
			break
		}
		a.Member = (a.Member + 1) % len(n.w.members)
	}
	if n.w.cfg.Faults[Crash] > 0 && oneIn(n.rand, 4) {
		a.Kind, a.Arg = CrashBoot, 1+n.rand.Uint64N(40)
	}
}

// target turns what loses data for good to a frail member: the last ones are.
func (n *nemesis) target(a *Action) {
	switch a.Kind {
	case Rot, WreckVital, Wipe:
		if n.w.cfg.Frail == 0 {
			a.Kind = Break
			return
		}
		a.Member = n.w.frail(n.rand.IntN(n.w.cfg.Frail))
	}
}

func (n *nemesis) argument(a *Action) {
	suspect := uint64(n.w.cfg.SuspectTicks * tickMicros)
	switch a.Kind {
	case Pause, Stall, Clog:
		a.Arg = 1 + n.rand.Uint64N(suspect*pick[uint64](n.rand, 1, 3, 10))
	case Partition:
		a.Arg = n.partition()
	case Break:
		a.Arg = uint64(n.rand.IntN(len(n.w.members)))
	case Replay:
		a.Arg = 1 + n.rand.Uint64N(30)
	case FailIO:
		a.Arg = 1 + n.rand.Uint64N(20)
	case Skew:
		most := uint64(n.w.cfg.SkewMost)
		a.Arg = tickMicros - most + n.rand.Uint64N(2*most+1)
	case Leap:
		a.Arg = 1 + n.rand.Uint64N(suspect/tickMicros*2)
	}
}

// partition draws which links are cut; one time in three it heals everything.
func (n *nemesis) partition() uint64 {
	if oneIn(n.rand, 3) {
		return 0
	}
	leader := n.w.leader()
	if leader < 0 {
		leader = n.rand.IntN(len(n.w.members))
	}
	other := n.rand.IntN(len(n.w.members))
	shape := partitions[n.rand.IntN(len(partitions))]
	return cuts(len(n.w.members), n.rand.Perm(len(n.w.members)), leader, other, shape)
}

// shape says whether what from sends to to is cut. Members are told apart by their place in a random order; a is the leader, if there is one, b anybody.
type shape func(place []int, n, from, to, a, b int) bool

// partitions are the shapes that networks have been seen to fall into, or that elections have been seen to fail at.
var partitions = []shape{
	func(p []int, n, from, to, _, _ int) bool { return (p[from] < n/2) != (p[to] < n/2) },             // two halves
	func(_ []int, _, from, to, a, _ int) bool { return from == a || to == a },                         // the leader alone
	func(_ []int, _, _, to, a, _ int) bool { return to == a },                                         // the leader can send and not receive
	func(_ []int, _, from, _, a, _ int) bool { return from == a },                                     // the leader can receive and not send
	func(_ []int, _, from, to, a, b int) bool { return from == a && to == b },                         // one link
	func(_ []int, _, from, to, a, b int) bool { return from == a && to == b || from == b && to == a }, // chained: two do not hear each other
	func(_ []int, _, from, to, _, b int) bool { return from != b && to != b },                         // quorum-loss: everybody hears b alone
	func(_ []int, _, from, to, a, b int) bool { return from == a || to == a || from != b && to != b }, // constrained election: the same, and the leader nobody
	func(p []int, n, from, to, _, b int) bool {
		return from != b && to != b && (p[from] < n/2) != (p[to] < n/2)
	}, // a bridge between two halves
	func(p []int, n, from, to, _, _ int) bool {
		d := (p[from] - p[to] + n) % n
		return min(d, n-d) > (n+3)/4
	}, // a ring of overlapping majorities
	func(p []int, _, from, to, _, _ int) bool { return p[from]-p[to] > 1 || p[to]-p[from] > 1 },    // a chain of everybody
	func(p []int, _, from, to, _, _ int) bool { return p[from] < p[to] && (p[from]+p[to])%2 == 0 }, // several, in one direction
}

// cuts turns a shape into bits: that of the link between two members is at from·members + to.
func cuts(n int, place []int, a, b int, cut shape) (bits uint64) {
	for from := range n {
		for to := range n {
			if from != to && cut(place, n, from, to, a, b) {
				bits |= 1 << (from*n + to)
			}
		}
	}
	return bits
}
