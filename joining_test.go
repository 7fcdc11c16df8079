package synod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

func TestAMemberJoinsBySnapshotWhereTheLogIsTrimmed(t *testing.T) {
	t.Parallel()
	for _, kind := range galleryKinds {
		t.Run(kind, func(t *testing.T) {
			g := newGallery(t, kind, 3, 0, map[int]disk.FS{})
			g.take(g.nodes[0], 20*galleryLog)
			for _, n := range g.nodes {
				g.awaitTrimmed(n, 1)
			}
			g.photos = append(g.photos, nil)
			fourth := g.invite(g.ctx, g.nodes[0], 4, paxos.FullMember)
			awaitRoles(t, g.nodes[fourth], 4, paxos.FullMember)
			<-g.installed
			g.agree(fourth)
			g.close(fourth)
			g.open(fourth) // by what the snapshot has brought
			g.agree(fourth)
		})
	}
}

// joiningStep says whether a call to the disk is one of those that make a node a member, or tell it of its membership. Those that format its disk have tests of their own.
func joiningStep(call disk.Call) bool {
	if !strings.Contains(call.Name, "vital") && !strings.Contains(call.Name, membershipName) && call.Op != disk.OpSyncDir {
		return false
	}
	return call.Op == disk.OpCreate || call.Op == disk.OpWrite || call.Op == disk.OpSync || call.Op == disk.OpRename || call.Op == disk.OpSyncDir
}

// The power fails at each step of joining in turn. With what is left on its disk the node becomes a member all the same.
func TestACrashAtAnyStepOfJoiningLeavesWhatCanBeGoneOnFrom(t *testing.T) {
	t.Parallel()
	const steps = 12 // the file of the membership, two copies of the vital state, and some of the first change
	errPower := errors.New("the power has failed")
	disks := make([]*disk.Mem, steps+1)
	c := newClusterOf(t, 3, func(i int, cfg *Config) {
		if i >= 3 {
			cfg.fs, cfg.Dir = disks[i-3], "/log"
		}
	})
	ctx := within(t, 110*time.Second)
	await(t, "a quorum is heard", func() bool { return len(c.nodes[0].heard()) == 3 })
	for cut := range steps {
		i, id := len(c.nodes), paxos.NodeID(4+cut)
		mem := disk.NewMem()
		disks[cut] = mem
		var calls atomic.Int64
		dark := make(chan struct{})
		mem.Intercept(func(call disk.Call) error {
			begun := calls.Load() > 0 || strings.Contains(call.Name, membershipName) && call.Op == disk.OpCreate
			if begun && joiningStep(call) && calls.Add(1) == int64(cut+1) {
				close(dark)
			}
			if calls.Load() > int64(cut) {
				return errPower
			}
			return nil
		})
		c.invite(ctx, c.nodes[0], id, paxos.FullMember)
		<-dark
		image := mem.Crash([]func(int) int{disk.DropAll, disk.KeepAll}[cut%2])
		c.close(i)
		disks[cut] = image
		c.open(i)
		awaitRoles(t, c.nodes[i], id, paxos.FullMember)
		if err := insist(ctx, func() error { return c.nodes[0].RemoveMember(ctx, id) }); err != nil {
			t.Fatal(err)
		}
		awaitRemoved(t, c.nodes[i])
		c.close(i)
	}
}

// It was away when it was removed; and when it comes back with all that it promised, the members are others yet again.
func TestAMemberThatWasRemovedWhileItWasAwayComesBackToStop(t *testing.T) {
	t.Parallel()
	for changes := 1; changes <= 3; changes++ {
		t.Run(fmt.Sprintf("%d changes ago", changes), func(t *testing.T) {
			c := newCluster(t, 4)
			ctx := within(t, 60*time.Second)
			w := c.write(2, c.nodes[:3]...)
			w.progress(20)
			c.close(3)
			if err := insist(ctx, func() error { return c.nodes[0].RemoveMember(ctx, 4) }); err != nil {
				t.Fatal(err)
			}
			for i := 1; i < changes; i++ {
				id, address := paxos.NodeID(10+i), fmt.Sprintf("127.0.0.1:%d", i)
				if err := insist(ctx, func() error { return c.nodes[0].AddMember(ctx, id, address, paxos.Learner) }); err != nil {
					t.Fatal(err)
				}
			}
			c.open(3)
			awaitRemoved(t, c.nodes[3])
			w.progress(20)
			w.check(c, 0, 1, 2)
		})
	}
}

// It has agreed to the list of founders, and stopped before it heard that all had. Meanwhile the others have become other members, it still among them or not.
func TestAFounderThatStoppedBeforeItWasActiveHearsOfALaterMembership(t *testing.T) {
	t.Parallel()
	for _, removed := range []bool{false, true} {
		t.Run(fmt.Sprintf("removed %t", removed), func(t *testing.T) {
			c := newCluster(t, 4)
			ctx := within(t, 60*time.Second)
			w := c.write(2, c.nodes[:3]...)
			w.progress(20)
			fourth := c.nodes[3]
			c.close(3)
			vital := fourth.log.Vital()
			c.dirs[3] = filepath.Join(t.TempDir(), "before it was active")
			log, err := wal.Open(disk.OS(), c.dirs[3], wal.Options{Cluster: vital.Cluster, Node: 4, Incarnation: vital.Incarnation})
			if err == nil {
				err = errors.Join(log.SetFounders(vital.Founders), log.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			if removed {
				err = insist(ctx, func() error { return c.nodes[0].RemoveMember(ctx, 4) })
			} else {
				err = insist(ctx, func() error { return c.nodes[0].AddMember(ctx, 10, "127.0.0.1:1", paxos.Learner) })
			}
			if err != nil {
				t.Fatal(err)
			}
			c.open(3)
			if removed {
				awaitRemoved(t, c.nodes[3])
			} else {
				awaitMembership(t, c.nodes[3], "the later membership", func(m Membership) bool { return m.InForce != nil && m.InForce.Epoch == 1 })
			}
			w.progress(20)
		})
	}
}

func TestAMemberThatWasAwayWhileAllOthersCameToOtherDisksCatchesUp(t *testing.T) {
	t.Parallel()
	const away = 4
	c := newCluster(t, away+1)
	ctx := within(t, 100*time.Second)
	w := c.write(2, c.nodes[:away]...)
	w.progress(20)
	c.close(away)
	for i := range away {
		others := slices.Delete(slices.Clone(c.nodes[:away]), i, i+1)
		w.turnTo(others...)
		c.close(i)
		c.dirs[i] = filepath.Join(t.TempDir(), fmt.Sprint(i+1, " anew"))
		id := paxos.NodeID(i + 1)
		if err := insist(ctx, func() error { return others[0].ReplaceMember(ctx, id) }); err != nil {
			t.Fatal(err)
		}
		c.open(i)
		awaitRoles(t, c.nodes[i], id, paxos.FullMember)
		w.turnTo(c.nodes[:away]...)
		w.progress(20)
	}
	c.open(away)
	w.turnTo(c.nodes...)
	w.progress(200)
	w.check(c, 0, 1, 2, 3, away)
}

func TestTheOldDiskOfAReplacedMemberIsRefused(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	w := c.write(2, c.nodes[:2]...)
	w.progress(20)
	c.close(2)
	old := c.dirs[2] + ".old"
	if err := os.Rename(c.dirs[2], old); err != nil {
		t.Fatal(err)
	}
	if err := insist(ctx, func() error { return c.nodes[0].ReplaceMember(ctx, 3) }); err != nil {
		t.Fatal(err)
	}
	c.open(2)
	awaitRoles(t, c.nodes[2], 3, paxos.FullMember)
	c.close(2)
	c.dirs[2] = old
	c.open(2)
	await(t, "the old disk's node stops", func() bool { return c.nodes[2].Err() != nil })
	if err := c.nodes[2].Err(); !errors.Is(err, ErrRemoved) && !strings.Contains(err.Error(), errStranger.Error()) {
		t.Errorf("it has stopped because %v", err)
	}
	w.progress(20)
}

func TestANodeThatIsNotInvitedWaitsAndHarmsNothing(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	if err := c.nodes[0].Read(ctx); err != nil {
		t.Fatal(err)
	}
	i := len(c.nodes)
	c.place(7)
	c.open(i)
	c.propose(ctx, 0, number(1))
	if c.nodes[i].Membership().Latest != nil {
		t.Error("it has joined")
	}
	if err := insist(ctx, func() error { return c.nodes[0].AddMember(ctx, 7, c.joined[i].Address, paxos.FullMember) }); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, c.nodes[i], 7, paxos.FullMember)
}

// The commands of the disk before are in the log, under numbers that a new disk must not give to others: their results would be taken for its own.
func TestCommandsOfAReplacedMemberAreNotTakenForThoseOfTheDiskBefore(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	for i := range uint64(50) {
		c.propose(ctx, 2, number(i))
	}
	before := c.nodes[2].pending.last()
	c.wipe(2)
	if err := insist(ctx, func() error { return c.nodes[0].ReplaceMember(ctx, 3) }); err != nil {
		t.Fatal(err)
	}
	c.open(2)
	if place, executed := c.propose(ctx, 2, number(1000)).(int), c.ledgers[2].snapshot(); executed[place-1] != 1000 {
		t.Errorf("its first command is said to be at place %d, where %d is", place, executed[place-1])
	}
	if first := c.nodes[2].pending.last(); first-before <= 50 {
		t.Errorf("it numbers its commands from %x on, and there are numbers up to %x in the log", first, before)
	}
	if _, err := os.Stat(filepath.Join(c.dirs[2], membershipName)); err != nil {
		t.Errorf("it has not kept who the members are: %v", err)
	}
}

// Such a disk may turn out to join. A command that it was given before has its number by then.
func TestCommandsThatWaitOnAFreshDiskHaveNumbersThatTheDiskBeforeNeverGaveOut(t *testing.T) {
	c := newCluster(t, 3)
	ctx, cancel := context.WithCancel(within(t, 60*time.Second))
	c.propose(ctx, 2, number(1))
	before := c.nodes[2].pending.last()
	for i := range 2 {
		c.close(i) // nobody is there who could refuse or invite it
	}
	c.wipe(2)
	c.open(2)
	waiting := make(chan error)
	go func() {
		_, err := c.nodes[2].Propose(ctx, number(2))
		waiting <- err
	}()
	await(t, "the command waits", func() bool { return c.nodes[2].pending.count() == 1 })
	if first := c.nodes[2].pending.last(); first <= 2*before {
		t.Errorf("it numbers its commands from %x on, and there are numbers up to %x in the log", first, before)
	}
	cancel()
	if err := <-waiting; err == nil {
		t.Error("without a quorum it is answered")
	}
}

func TestADiskThatHasJoinedIsRefusedWithoutWhatItKnowsOfTheMembership(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	fourth := c.invite(ctx, c.nodes[0], 4, paxos.FullMember)
	awaitRoles(t, c.nodes[fourth], 4, paxos.FullMember)
	c.close(fourth)
	if err := os.Remove(filepath.Join(c.dirs[fourth], membershipName)); err != nil {
		t.Fatal(err)
	}
	node, err := Open(c.config(fourth))
	if err == nil || !strings.Contains(err.Error(), "replace this member") {
		t.Errorf("it opens, or says %v", err)
		closeIf(node)
	}
}

func TestAnInquiryTellsAJoinerWhoItIs(t *testing.T) {
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	if err := c.nodes[0].Read(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "a quorum is heard", func() bool { return len(c.nodes[0].heard()) == 3 })
	if err := insist(ctx, func() error { return c.nodes[0].AddMember(ctx, 9, "127.0.0.1:9", paxos.Learner) }); err != nil {
		t.Fatal(err)
	}
	account, err := Inquire(ctx, c.members[0].Address, nil)
	if err != nil || account.Cluster != clusterOf(c.members) || account.Latest.Index(9) < 0 {
		t.Errorf("it says %+v, %v", account, err)
	}
	id, err := ReadIdentity(c.dirs[0])
	if err != nil || id != (Identity{Cluster: account.Cluster, ID: 1, Founded: true, Changed: true}) {
		t.Errorf("its directory is %+v, %v", id, err)
	}
	if _, err := ReadIdentity(filepath.Join(c.dirs[0], "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing is %v", err)
	}
}

// A refusal by one who knows less than this node does is none: what it says was true once.
func TestARefusalOfAnEarlierEpochIsLate(t *testing.T) {
	at := func(epoch uint32) []*paxos.Configuration {
		config, err := paxos.NewConfiguration(epoch, []paxos.Member{{ID: 1, Incarnation: 1, Roles: paxos.FullMember}}, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return []*paxos.Configuration{config}
	}
	for _, test := range []struct {
		own, heard []*paxos.Configuration
		by         []*paxos.Configuration // what whoever refuses knows
		late       bool
	}{
		{nil, nil, at(3), false},
		{at(3), nil, at(2), true},
		{at(3), nil, at(3), false},
		{at(3), nil, at(4), false},
		{at(0), at(12), at(9), true},
		{at(12), at(9), at(11), true},
	} {
		_, refusal := (&contacts{own: test.by, wiped: map[paxos.NodeID]bool{}}).admit(7, 1)
		_, stranger := (&contacts{own: test.by, wiped: map[paxos.NodeID]bool{}}).admit(1, 2)
		c := &contacts{own: test.own, heard: test.heard}
		if c.isLate(refusal.Error()) != test.late || c.isLate(stranger.Error()) != test.late {
			t.Errorf("%v, %v: late is not %v", refusal, stranger, test.late)
		}
	}
	if (&contacts{own: at(3)}).isLate("something else") {
		t.Error("what names no epoch is late")
	}
}

// Those who know of an invitation last refuse a new disk in a founder's place. It waits, and is a member as soon as one who knows has met it.
func TestAWipedFounderThatIsRefusedWaitsForItsInvitation(t *testing.T) {
	c := newClusterOf(t, 3, func(i int, cfg *Config) {
		if i == 2 {
			cfg.ElectionTimeout = 4 * time.Second // and so it waits long enough for a busy machine
		}
	})
	ctx := within(t, 100*time.Second)
	w := c.write(2, c.nodes[:2]...)
	w.progress(20)
	c.wipe(2)
	c.open(2)
	await(t, "the new disk is refused", func() bool {
		refused := make(chan bool)
		c.nodes[2].inbox.call(func() { refused <- c.nodes[2].loop.refused != nil })
		select {
		case is := <-refused:
			return is
		case <-c.nodes[2].Done():
			t.Fatalf("it has stopped: %v", c.nodes[2].Err())
			return false
		}
	})
	if err := insist(ctx, func() error { return c.nodes[0].ReplaceMember(ctx, 3) }); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, c.nodes[2], 3, paxos.FullMember)
	w.turnTo(c.nodes...)
	w.progress(20)
	w.check(c, 0, 1, 2)
}

func TestAWitnessJoinsAndVotes(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, 3, func(i int, cfg *Config) {
		if i == 3 {
			cfg.Machine = nil
			for k := range cfg.Members {
				if cfg.Members[k].ID == cfg.ID {
					cfg.Members[k].Roles = paxos.Acceptor
				}
			}
		}
	})
	ctx := within(t, 100*time.Second)
	w := c.write(2, c.nodes[:2]...)
	w.progress(20)
	witness := c.invite(ctx, c.nodes[0], 4, paxos.Acceptor)
	awaitRoles(t, c.nodes[witness], 4, paxos.Acceptor)
	c.close(2) // of four with a vote three are left: nothing is chosen without the witness
	w.progress(20)
	c.close(witness)
	c.open(witness)
	w.progress(20)
	if err := c.nodes[witness].Read(ctx); !errors.Is(err, ErrNoMachine) {
		t.Errorf("a read of it: %v", err)
	}
	c.open(2)
	w.check(c, 0, 1, 2)
}

// A member without a machine that a change makes a learner would be counted on for what it never applies.
func TestAMemberWithoutAMachineStopsWhenItIsMadeALearner(t *testing.T) {
	a := newAlbums(t, paxos.FullMember, paxos.FullMember, paxos.Acceptor)
	ctx := within(t, 60*time.Second)
	a.write(0, 3)
	await(t, "a quorum is heard", func() bool { return len(a.nodes[0].heard()) == 3 })
	latest := a.nodes[0].Membership().Latest
	change := changeOf(latest, slices.Clone(latest.Members))
	change.Members[2].Roles = paxos.Proposer | paxos.Learner
	if err := insist(ctx, func() error { return a.nodes[0].Reconfigure(ctx, change) }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.nodes[2].Done():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	if err := a.nodes[2].Err(); !errors.Is(err, errMachineMissing) {
		t.Errorf("it says %v", err)
	}
	count := a.write(0, 3)
	a.close(2)
	if node, err := Open(a.config(2)); !errors.Is(err, errMachineMissing) {
		t.Errorf("it starts again, or says %v", err)
		closeIf(node)
	}
	cfg, machine := a.config(2), &album{}
	cfg.Members[2].Roles, cfg.Machine = paxos.Proposer|paxos.Learner, machine
	node, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if err := node.Read(ctx); err != nil || int(machine.taken()) != count {
		t.Errorf("with a machine it has %d commands of %d, %v", machine.taken(), count, err)
	}
}
