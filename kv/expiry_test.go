package kv

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// testClock is a monotonic clock that passes when it is told to.
type testClock struct{ now time.Duration }

func (c *testClock) pass(d time.Duration) { c.now += d }

func (c *testClock) open(t fataler, fs vfs.FS) *fixture {
	t.Helper()
	return openMeasuring(t, fs, func() time.Duration { return c.now })
}

func openMeasuring(t fataler, fs vfs.FS, elapsed func() time.Duration) *fixture {
	t.Helper()
	failed := func(err error) { t.Errorf("the store has failed: %v", err) }
	s, err := Open(Config{Dir: "db", FS: fs, Logger: quiet, CacheBytes: 1 << 20, Fail: failed, Elapsed: elapsed})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return &fixture{Store: s, t: t, slot: s.Applied()}
}

// cluster is members that apply one list of commands, each as far as it has come, in a time that only it knows.
type cluster struct {
	t       fataler
	now     time.Duration // the real time
	log     [][]byte
	members []*member
	oracle  *model                  // of the whole log
	alive   map[int64]time.Duration // when each lease was last renewed, really
}

// member is a store with a clock of its own, which is off by some parts per million, and began some time.
type member struct {
	*fixture
	fs    *vfs.MemFS
	drift time.Duration // ppm
	began time.Duration
}

func newCluster(t fataler, drifts ...time.Duration) *cluster {
	c := &cluster{t: t, oracle: newModel(), alive: map[int64]time.Duration{}}
	for _, drift := range drifts {
		m := &member{fs: vfs.NewCrashableMem(), drift: drift}
		c.open(m)
		c.members = append(c.members, m)
	}
	return c
}

func (c *cluster) open(m *member) {
	m.began = c.now
	m.fixture = openMeasuring(c.t, m.fs, func() time.Duration {
		d := c.now - m.began
		return time.Hour + d + d/1000*m.drift/1000
	})
}

func (c *cluster) close() {
	for _, m := range c.members {
		m.close()
	}
}

// restart ends a member in good order, or as a crash does, and opens it again.
func (c *cluster) restart(m *member, crash bool) {
	image := m.fs.CrashClone(vfs.CrashCloneCfg{})
	m.close()
	if crash {
		m.fs = image
	}
	c.open(m)
}

// client has a client's request chosen.
func (c *cluster) client(req proto.Message) {
	c.oracle.slot = paxos.Slot(len(c.log) + 1)
	_, err := c.oracle.apply(req)
	if grant, ok := req.(*pb.LeaseGrantRequest); ok && err == nil {
		c.alive[grant.ID] = c.now
	}
	c.log = append(c.log, encode(c.t, req))
}

// upkeep has a member's upkeep chosen now, however old it is. It must end no lease early, and not make the lease clock run ahead.
func (c *cluster) upkeep(u upkeep) {
	if r, ok := u.(leaseRenewal); ok {
		for _, id := range r.ids {
			c.alive[id] = c.now
		}
	}
	before := maps.Clone(c.oracle.leases)
	c.oracle.slot = paxos.Slot(len(c.log) + 1)
	c.oracle.keepUp(u)
	for id, l := range before {
		lived := c.now - c.alive[id]
		if !c.oracle.leases[id].exists() && lived < time.Duration(l.ttl)*time.Second {
			c.t.Fatalf("lease %d of %d s was ended after %v", id, l.ttl, lived)
		}
	}
	if c.oracle.clock > c.now {
		c.t.Fatalf("the lease clock shows %v after %v", c.oracle.clock, c.now)
	}
	c.log = append(c.log, u.encode())
}

// catchUp lets a member apply up to n more slots, in one call.
func (c *cluster) catchUp(m *member, n int) {
	var commands []synod.Command
	for range min(n, len(c.log)-int(m.slot)) {
		m.slot++
		commands = append(commands, synod.Command{Slot: m.slot, Data: c.log[m.slot-1]})
	}
	m.Apply(commands)
}

// lead lets a member lead for some time, in steps, with all members up to date.
func (c *cluster) lead(leader *member, d, step time.Duration) {
	for end := c.now + d; c.now < end; c.now += step {
		c.settle(leader)
	}
}

// settle has everything chosen and applied that leader has to propose now.
func (c *cluster) settle(leader *member) {
	for {
		for _, m := range c.members {
			c.catchUp(m, len(c.log))
		}
		u, _ := leader.expiry.next()
		if u == nil {
			return
		}
		c.upkeep(u)
	}
}

// TestLeasesEndNeitherEarlyNorNever lets clients grant, renew and revoke a few leases again and again, while members pause, restart, crash, apply late, and
// propose what they take for due, some of it long after, whether they lead or not. No lease may end early. In the end one member leads, and all end in time.
func TestLeasesEndNeitherEarlyNorNever(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t, 900, -900, 0)
		defer c.close()
		n := func(max int, label string) int { return rapid.IntRange(0, max-1).Draw(t, label) }
		var late []upkeep // proposed, and not yet chosen
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			m := c.members[n(len(c.members), "member")]
			id := int64(1 + n(3, "lease"))
			switch n(12, "step") {
			case 0:
				c.client(&pb.LeaseGrantRequest{ID: id, TTL: rapid.SampledFrom([]int64{2, 9, 30}).Draw(t, "ttl")})
			case 1:
				c.upkeep(leaseRenewal{[]int64{id}})
			case 2:
				c.client(&pb.LeaseRevokeRequest{ID: id})
			case 3:
				c.restart(m, rapid.Bool().Draw(t, "crash"))
			case 4, 5:
				if u, _ := m.expiry.next(); u != nil {
					late = append(late, u)
				}
			case 6:
				if len(late) > 0 {
					i := n(len(late), "late")
					c.upkeep(late[i])
					late = append(late[:i], late[i+1:]...)
				}
			case 7, 8:
				if u, _ := m.expiry.next(); u != nil {
					c.upkeep(u)
				}
			case 9, 10:
				c.catchUp(m, 1+n(20, "slots"))
			}
			c.now += rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 5 * time.Second, 31 * time.Second}).Draw(t, "time")
		}
		leader := c.members[n(len(c.members), "leader")]
		c.settle(leader)
		c.lead(leader, 32*time.Second, time.Second)
		if len(c.oracle.leases) > 0 {
			t.Fatalf("still there: %v", c.oracle.leases)
		}
		for _, m := range c.members {
			m.leasesMustBe(t, c.oracle)
		}
	})
}

// endOf lets a scenario pass and returns how long the lease has lived after its renewal.
func endOf(t *testing.T, id int64, scenario func(c *cluster, step func(leader *member, d time.Duration))) time.Duration {
	t.Helper()
	c := newCluster(t, 0, 0, 0)
	defer c.close()
	ended := time.Duration(-1)
	step := func(leader *member, d time.Duration) {
		for end := c.now + d; c.now < end; c.now += 100 * time.Millisecond {
			c.settle(leader)
			if !c.oracle.leases[id].exists() && ended < 0 {
				ended = c.now - c.alive[id]
			}
		}
	}
	scenario(c, step)
	return ended
}

// TestLeaseLivesNoLongerForAChangeOfLeader: etcd extends every lease by its whole TTL at each change, so that one lives for ever if leaders change often
// enough (#9888); its checkpoints were lost after the second change (#13491, #17132).
func TestLeaseLivesNoLongerForAChangeOfLeader(t *testing.T) {
	lived := endOf(t, 1, func(c *cluster, step func(*member, time.Duration)) {
		c.client(&pb.LeaseGrantRequest{ID: 1, TTL: 60})
		for i := range 30 {
			step(c.members[i%3], 7*time.Second)
		}
	})
	if lived < 60*time.Second || lived > 60500*time.Millisecond {
		t.Fatalf("a lease of a minute has lived for %v", lived)
	}
}

// TestRestartsOfAllMembersCostALeaseTheLeaseClocksStep: each restart ends all measures; what was measured before is in the lease clock.
func TestRestartsOfAllMembersCostALeaseTheLeaseClocksStep(t *testing.T) {
	for _, crash := range []bool{false, true} {
		lived := endOf(t, 1, func(c *cluster, step func(*member, time.Duration)) {
			c.client(&pb.LeaseGrantRequest{ID: 1, TTL: 60})
			for range 40 {
				step(c.members[0], 11*time.Second)
				for _, m := range c.members {
					c.restart(m, crash)
				}
			}
		})
		if lived < 60*time.Second || lived > 90*time.Second {
			t.Errorf("crash %v: a lease of a minute has lived for %v", crash, lived)
		}
	}
}

// TestMemberThatHasSleptEndsLeasesInTime: it hears late of renewals that are long past, and takes from the lease clock how long ago they were.
func TestMemberThatHasSleptEndsLeasesInTime(t *testing.T) {
	lived := endOf(t, 1, func(c *cluster, step func(*member, time.Duration)) {
		asleep := c.members[2]
		c.members = c.members[:2]
		c.client(&pb.LeaseGrantRequest{ID: 1, TTL: 60})
		step(c.members[0], 50*time.Second)
		c.members = append(c.members, asleep)
		step(asleep, 60*time.Second)
	})
	if lived < 60*time.Second || lived > 60*time.Second+clockStep+clockStepMax+missedMax {
		t.Fatalf("a lease of a minute has lived for %v", lived)
	}
}

// TestLeaderThatWakesUpEndsNothingThatWasRenewed: etcd's old leader, stuck on its disk, came back and revoked all leases (#15247, #12528).
func TestLeaderThatWakesUpEndsNothingThatWasRenewed(t *testing.T) {
	c := newCluster(t, 0, 0)
	defer c.close()
	old, heir := c.members[0], c.members[1]
	c.client(&pb.LeaseGrantRequest{ID: 1, TTL: 60})
	c.client(&pb.LeaseGrantRequest{ID: 2, TTL: 60})
	c.catchUp(old, 2)
	c.catchUp(heir, 2)
	c.now += 30 * time.Second
	c.upkeep(leaseRenewal{[]int64{1}})
	c.client(&pb.LeaseRevokeRequest{ID: 2})
	c.client(&pb.LeaseGrantRequest{ID: 2, TTL: 60}) // another one, which nobody has renewed either
	c.catchUp(heir, 3)
	c.now += 40 * time.Second
	old.expiry.catchUp()
	u := leaseExpiry{old.expiry.heap.due(old.expiry.now())}
	if len(u.leases) != 2 {
		t.Fatalf("the old leader takes %v for due", u)
	}
	c.upkeep(u)
	c.catchUp(heir, 1)
	if leases, _ := heir.leaseRows(); len(leases) != 2 {
		t.Fatalf("left are %v", leases)
	}
}

// TestRenewalThatComesBeforeTheExpiryIsChosenSavesTheLease, and one that comes after it is told so (#20615).
func TestRenewalThatComesBeforeTheExpiryIsChosenSavesTheLease(t *testing.T) {
	clock := &testClock{}
	f := clock.open(t, vfs.NewMem())
	defer f.close()
	f.grant(1, 2)
	clock.pass(3 * time.Second)
	f.keepUp(clockAdvance{0, clockStep})
	u, _ := f.expiry.next()
	if got := f.keepUp(leaseRenewal{[]int64{1}}).Renewed; got[0] != 2 {
		t.Fatalf("renewed for %v", got)
	}
	f.keepUp(u)
	if leases, _ := f.leaseRows(); len(leases) != 1 {
		t.Fatal("a renewed lease was ended")
	}
	clock.pass(3 * time.Second)
	for u, _ = f.expiry.next(); u != nil; u, _ = f.expiry.next() {
		f.keepUp(u)
	}
	if got := f.keepUp(leaseRenewal{[]int64{1}}).Renewed; got[0] != 0 {
		t.Fatalf("renewed after its end for %v", got)
	}
}

// TestPutThatRacesWithTheEndOfItsLeaseIsRefusedOrDeleted: there is no key that outlives its lease.
func TestPutThatRacesWithTheEndOfItsLeaseIsRefusedOrDeleted(t *testing.T) {
	for _, order := range []string{"before", "after"} {
		f := newFixture(t)
		f.grant(1, 2)
		end, put := leaseExpiry{[]expired{{1, f.slot}}}.encode(), encode(t, &pb.PutRequest{Key: []byte("k"), Lease: 1})
		commands := []synod.Command{{Slot: f.slot + 1, Data: put}, {Slot: f.slot + 1, Data: end}}
		if order == "after" {
			commands[0], commands[1] = commands[1], commands[0]
		}
		results := f.Apply(commands)
		refused := order == "after" && results[1].(Result).Err != nil
		if f.count(everything) != 0 || order == "after" && !refused {
			t.Errorf("a put %s the end: %v, %d keys", order, results, f.count(everything))
		}
	}
}

func TestNothingIsProposedWhileThereIsNoLease(t *testing.T) {
	clock := &testClock{}
	f := clock.open(t, vfs.NewMem())
	defer f.close()
	clock.pass(time.Hour)
	if command, wait := f.LeaseUpkeep(); command != nil || wait != upkeepPause {
		t.Fatalf("proposes %x after %v", command, wait)
	}
	f.grant(1, 600)
	if command, _ := f.LeaseUpkeep(); command == nil || kind(command[0]) != kindLeaseClock {
		t.Fatalf("proposes %x, not to move the lease clock", command)
	}
	f.keepUp(clockAdvance{0, clockStepMax})
	if command, wait := f.LeaseUpkeep(); command != nil || wait > upkeepPause {
		t.Fatalf("proposes %x after %v", command, wait)
	}
}

func TestUpkeepNamesFewLeasesAndWaitsForTheNextToBecomeDue(t *testing.T) {
	clock := &testClock{}
	f := clock.open(t, vfs.NewMem())
	defer f.close()
	for id := range int64(100) {
		f.grant(id+1, 3)
	}
	f.grant(999, 4)
	clock.pass(3010 * time.Millisecond)
	u, _ := f.expiry.next()
	f.keepUp(u.(clockAdvance))
	left := 101
	for u, wait := f.expiry.next(); ; u, wait = f.expiry.next() {
		if u == nil {
			if left != 1 || wait != upkeepPause {
				t.Fatalf("%d left, next after %v", left, wait)
			}
			break
		}
		n := len(u.(leaseExpiry).leases)
		if n > expiryLeasesMax {
			t.Fatalf("one command ends %d leases", n)
		}
		left -= n
		f.keepUp(u)
	}
	clock.pass(900 * time.Millisecond)
	if u, wait := f.expiry.next(); u != nil || wait <= 0 || wait > 100*time.Millisecond {
		t.Fatalf("%v, next after %v", u, wait)
	}
}

func TestLongestLeaseIsNotDueByOverflow(t *testing.T) {
	clock := &testClock{now: 290 * 365 * 24 * time.Hour}
	f := clock.open(t, vfs.NewMem())
	defer f.close()
	f.grant(1, LeaseTTLMax)
	f.keepUp(clockAdvance{0, clockStepMax})
	if u, _ := f.expiry.next(); u != nil {
		t.Fatalf("proposes %v", u)
	}
}

// BenchmarkLeases measures what 100,000 leases cost: memory of the index, a renewal among them, the end of one with a key.
func BenchmarkLeases(b *testing.B) {
	const leases = 100_000
	f := newOnDisk(b, 0)
	var commands []synod.Command
	for id := range int64(leases) {
		f.slot++
		commands = append(commands,
			synod.Command{Slot: f.slot, Data: encode(b, &pb.LeaseGrantRequest{ID: id + 1, TTL: 3600})},
			synod.Command{Slot: f.slot, Data: encode(b, &pb.PutRequest{Key: fmt.Appendf(nil, "key%08d", id), Lease: id + 1})})
	}
	f.Apply(commands)
	ids := make([]int64, 1024)
	b.Run("renew=1024", func(b *testing.B) {
		next := int64(0)
		for b.Loop() {
			for i := range ids {
				next = next%leases + 1
				ids[i] = next
			}
			f.keepUp(leaseRenewal{ids})
		}
	})
	b.Run("end=32", func(b *testing.B) {
		next := int64(0)
		for b.Loop() {
			b.StopTimer()
			var e leaseExpiry
			for range expiryLeasesMax {
				next = next%leases + 1
				l, err := (&view{reader: f.db}).lease(next)
				if err != nil || !l.exists() {
					b.Skip("all have ended")
				}
				e.leases = append(e.leases, expired{next, l.renewed})
			}
			b.StartTimer()
			f.keepUp(e)
		}
	})
}

// TestStepOfTheLeaseClockThatWasUnderWayAtTheRenewalIsNotCounted: most of it may have passed before.
func TestStepOfTheLeaseClockThatWasUnderWayAtTheRenewalIsNotCounted(t *testing.T) {
	c := newCluster(t, 0)
	defer c.close()
	m := c.members[0]
	c.client(&pb.LeaseGrantRequest{ID: 1, TTL: 3})
	c.catchUp(m, 1)
	c.now += clockStepMax
	u, _ := m.expiry.next()
	c.upkeep(leaseRenewal{[]int64{1}})
	c.upkeep(u.(clockAdvance))
	c.catchUp(m, 2)
	c.restart(m, false)
	if u, _ := m.expiry.next(); u != nil {
		t.Fatalf("proposes %v at once", u)
	}
}

// TestALeaseGrantedAfterTheClockWasReadLivesItsTime: what the clock says about older leases is nothing to it.
func TestALeaseGrantedAfterTheClockWasReadLivesItsTime(t *testing.T) {
	now := time.Duration(0)
	e := newExpiry(func() time.Duration { return now })
	e.update(nil, 10*clockStepMax) // this member was away, and has missed much
	now += clockStep - 1
	e.update([]leased{{id: 7, lease: lease{ttl: 1, renewed: 3, renewedAt: 10 * clockStepMax}}}, 10*clockStepMax)
	e.next()
	if got := e.remaining(7); got != time.Second {
		t.Errorf("a lease of 1 s has %v left at once", got)
	}
}
