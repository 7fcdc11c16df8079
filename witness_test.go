package synod

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"synod.dev/synod/paxos"
)

// albums is a cluster of members with these roles, with short logs and machines in memory.
type albums struct {
	*cluster
	machines []*album
	warnings []*warnings // of each node
}

// warnings counts those about a log that cannot be trimmed.
type warnings struct{ retained atomic.Int64 }

func (w *warnings) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "cannot be trimmed") {
		w.retained.Add(1)
	}
	return len(line), nil
}

func newAlbums(t *testing.T, roles ...paxos.Role) *albums {
	a := &albums{machines: make([]*album, len(roles)), warnings: make([]*warnings, len(roles))}
	a.cluster = newClusterOfRoles(t, 0, 0, func(i int, cfg *Config) {
		cfg.SegmentBytes, cfg.LogBytes, cfg.SnapshotBytes = 64<<10, galleryLog, 64<<10
		a.machines[i], a.warnings[i] = &album{}, &warnings{}
		cfg.Machine, cfg.Logger = a.machines[i], slog.New(slog.NewTextHandler(a.warnings[i], nil))
	}, roles...)
	return a
}

// write has a node propose photos until some are acknowledged, and returns how many there are then. A leader that has just been lost leaves the outcome of some unknown.
func (a *albums) write(by, n int) (count int) {
	a.t.Helper()
	ctx := within(a.t, time.Minute)
	for acked := 0; acked < n; {
		place, err := a.nodes[by].Propose(ctx, make([]byte, photoBytes))
		if err == nil {
			count = placeOf(place)
			acked++
		} else if !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			a.t.Fatal(err)
		}
	}
	return count
}

// placeOf reads an album's result.
func placeOf(result any) int {
	place, err := strconv.Atoi(result.(string))
	if err != nil {
		panic(err)
	}
	return place
}

// expect has nodes confirm that they have this many photos, all the same.
func (a *albums) expect(count int, nodes ...int) {
	a.t.Helper()
	ctx := within(a.t, time.Minute)
	for _, i := range nodes {
		if err := a.nodes[i].Read(ctx); err != nil {
			a.t.Fatalf("node %d: %v", i+1, err)
		}
		if got, first := a.machines[i].same(), a.machines[nodes[0]].same(); int(a.machines[i].taken()) != count || got != first {
			a.t.Fatalf("node %d has %s, want %d photos; node %d has %s", i+1, got, count, nodes[0]+1, first)
		}
	}
}

// lose takes a node and its disk away for good.
func (a *albums) lose(i int) {
	a.t.Helper()
	a.close(i)
	if err := os.RemoveAll(a.dirs[i]); err != nil {
		a.t.Fatal(err)
	}
}

// many is more than the logs keep, of which a snapshot and a trim or two must have come.
const many = 4 * galleryLog / photoBytes

// full0, full1 and witness2 are the members of the smallest cluster with a witness.
const full0, full1, witness2 = 0, 1, 2

func TestTwoFullMembersAndAWitnessSurviveTheLossOfAnyOne(t *testing.T) {
	t.Parallel()
	for lost := range 3 {
		t.Run(fmt.Sprint(lost+1), func(t *testing.T) {
			a := newAlbums(t, full, full, witness)
			a.write(full0, 10)
			writer := (lost + 1) % 2
			stopped := make(chan struct{})
			var acked atomic.Int64
			go func() { // under load
				defer close(stopped)
				for acked.Load() < many {
					place, err := a.nodes[writer].Propose(within(t, 10*time.Second), make([]byte, photoBytes))
					if err == nil {
						acked.Store(int64(placeOf(place)))
					}
				}
			}()
			await(t, "half is written", func() bool { return acked.Load() > many/2 })
			a.lose(lost)
			<-stopped
			rest := []int{writer}
			if other := 1 - writer; other != lost {
				rest = append(rest, other)
			}
			count := a.write(writer, 1)
			if int64(count) <= acked.Load() {
				t.Fatalf("there are %d photos, and %d were acknowledged", count, acked.Load())
			}
			a.expect(count, rest...)
		})
	}
}

func TestAWitnessNeedsLittleDisk(t *testing.T) {
	t.Parallel()
	a := newAlbums(t, full, full, witness)
	for range 8 {
		a.write(full0, many/2)
		const segments = witnessSegments + 2 // and the one that is written to, and what has come since the keeper looked
		await(t, "the witness has trimmed", func() bool { return a.nodes[witness2].log.Size() <= segments*(64<<10) })
	}
	if s := a.nodes[witness2].Status(); s.Trimmed == 0 || s.Applied != 0 {
		t.Errorf("it says that it has trimmed up to slot %d and applied up to %d", s.Trimmed, s.Applied)
	}
}

// One full member is away while the other, and the witness, choose more than either would keep. Then that other is lost for good.
func TestAWitnessKeepsWhatOnlyItAndALostDiskHold(t *testing.T) {
	a := newAlbums(t, full, full, witness)
	before := a.write(full0, 5)
	a.expect(before, full0, full1)
	a.close(full1)
	count := a.write(full0, many)
	for _, i := range []int{full0, witness2} {
		await(t, "the operator is told that the log cannot be trimmed", func() bool { return a.warnings[i].retained.Load() > 0 })
		if s := a.nodes[i].Status(); int(s.Trimmed) > before+20 {
			t.Fatalf("node %d has trimmed up to slot %d of what the member that is away lacks", i+1, s.Trimmed)
		}
	}
	a.lose(full0)
	a.open(full1)
	a.expect(count, full1)
	if next := a.write(full1, 1); next <= count {
		t.Errorf("the next is photo %d of %d", next, count)
	}
}

func TestAFullMemberThatComesBackSetsTheWitnessFree(t *testing.T) {
	t.Parallel()
	a := newAlbums(t, full, full, witness)
	a.write(full0, 5)
	a.close(full1)
	count := a.write(full0, many)
	await(t, "the operator is told that the log cannot be trimmed", func() bool { return a.warnings[witness2].retained.Load() > 0 })
	a.open(full1)
	a.expect(count, full0, full1)
	count = a.write(full0, 2*many) // a machine in memory keeps as much log as its last snapshot has bytes
	await(t, "the witness has trimmed", func() bool { return a.nodes[witness2].log.Size() <= (witnessSegments+1)*(64<<10) })
	for _, i := range []int{full0, full1} {
		await(t, "a full member has trimmed", func() bool { return a.nodes[i].Status().Trimmed > 20 })
	}
	a.lose(full0)
	a.expect(count, full1)
}

// The witness is away while the full members trim what it lacks; then one of these is lost, and the other is restarted.
func TestAWitnessThatWasAwayGoesOnAboveWhatOthersHold(t *testing.T) {
	a := newAlbums(t, full, full, witness)
	a.write(full0, 5)
	a.close(witness2)
	count := a.write(full0, many)
	a.expect(count, full0, full1)
	await(t, "a full member has trimmed", func() bool { return a.nodes[full0].Status().Trimmed > 20 })
	a.lose(full1)
	a.close(full0)
	a.open(full0)
	a.open(witness2)
	if next := a.write(full0, 1); next <= count {
		t.Errorf("the next is photo %d of %d", next, count)
	}
	// It votes for what is new at once, whatever it lacks.
	await(t, "the witness has skipped what nobody has in a log any more", func() bool { return a.nodes[witness2].Status().Trimmed > 0 })
	a.close(witness2) // it remembers that it has skipped
	a.open(witness2)
	a.expect(a.write(full0, 1), full0)
}

func TestAWitnessAnswersNoReads(t *testing.T) {
	a := newAlbums(t, full, full, witness)
	if err := a.nodes[witness2].Read(within(t, time.Minute)); err != ErrNoMachine {
		t.Errorf("a read: %v", err)
	}
	if err := a.nodes[witness2].ReadStale(within(t, time.Minute), time.Hour); err != ErrNoMachine {
		t.Errorf("a stale read: %v", err)
	}
	if result := a.propose(within(t, time.Minute), witness2, make([]byte, 9)); result != nil {
		t.Errorf("a command: %v", result)
	}
	count := a.write(full0, 1)
	if count < 2 {
		t.Errorf("the command after that is photo %d", count)
	}
	a.expect(count, full0, full1)
}
