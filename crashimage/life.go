package crashimage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// life is a log at work whose ledger is kept, and which is cut off before each call of the disk.
type life struct {
	run    *run
	number uint64
	random *rand.Rand // for what happens
	fates  *rand.Rand // for images, so that their number does not change what happens
	mem    *disk.Mem
	log    *wal.Log
	ledger
	slot   paxos.Slot // the highest used
	round  uint64
	seen   map[uint64]struct{} // digests of images and their ledgers
	images int                 // that recovery was tried on, but for those cut again and rotten ones
	calls  int
	faults int
	failIn int   // the disk call, counted down, that fails with EIO; 0 for none
	wrong  error // the first verdict that is not good: nothing is done after it
}

const (
	cluster     = 7
	node        = 2
	incarnation = 9
)

func newLife(r *run, number uint64) *life {
	l := &life{run: r, number: number, random: rand.New(rand.NewPCG(number, 1)), fates: rand.New(rand.NewPCG(number, 2)), round: 1, seen: map[uint64]struct{}{}}
	l.options = wal.Options{Cluster: cluster, Node: node, Incarnation: incarnation, SegmentBytes: 4096}
	if number > 0 {
		l.options.SegmentBytes += int64(512 * l.random.IntN(5))
	}
	l.take(disk.NewMem())
	return l
}

// take makes m the disk that is lived on.
func (l *life) take(m *disk.Mem) {
	l.mem = m
	m.Intercept(l.beforeCall)
}

// live lives the life to its end, or to the first image that is found wanting.
func (l *life) live() error {
	steps := l.written()
	if l.number > 0 {
		steps = l.drawn()
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("the log itself: %w", err)
		}
		if l.wrong != nil || l.run.stopped.Load() {
			return l.wrong
		}
	}
	l.mem.Kill()
	l.cut("at the end")
	return l.wrong
}

// beforeCall cuts the power before each call that changes the disk, and lets the one fail that is to.
func (l *life) beforeCall(c disk.Call) error {
	if c.Op == disk.OpRead || c.Op == disk.OpOpen || c.Op == disk.OpReadDir || c.Op == disk.OpLock || l.wrong != nil {
		return nil
	}
	l.calls++
	l.cut(fmt.Sprintf("cut before call %d, %v %s", l.calls, c.Op, c.Name))
	if l.failIn > 0 {
		if l.failIn--; l.failIn == 0 {
			l.faults++
			return syscall.EIO
		}
	}
	return nil
}

// cut judges what a power cut at this instant can leave.
func (l *life) cut(when string) {
	for i, p := range plans(pieces(l.mem), l.fates) {
		if l.wrong != nil || l.run.stopped.Load() {
			return
		}
		image := l.mem.Crash(p.choose())
		d, err := digest(image, &l.ledger)
		if err != nil {
			l.wrong = err
			return
		}
		what := fmt.Sprintf("%s, image %d (%s)", when, i, p.kind)
		if !l.isNew(d, p.kind) {
			continue
		}
		l.images++
		if l.images%againEvery == 0 {
			l.cutAgain(image.Crash(disk.KeepAll), what)
		}
		if l.images%rotEvery == 0 {
			l.rot(image.Crash(disk.KeepAll), what)
		}
		l.note(what, l.judge(image))
	}
}

// One image in so many is cut again during its recovery, or has a byte changed.
const (
	againEvery = 16
	rotEvery   = 4
)

// cutAgain lets the power fail before each call that the recovery of an image makes.
func (l *life) cutAgain(image *disk.Mem, what string) {
	calls := 0
	image.Intercept(func(c disk.Call) error {
		if c.Op == disk.OpRead || c.Op == disk.OpOpen || l.wrong != nil {
			return nil
		}
		calls++
		for _, choose := range []func(int) int{disk.DropAll, disk.KeepAll, l.fates.IntN, l.fates.IntN} {
			second := image.Crash(choose)
			d, err := digest(second, &l.ledger)
			if err == nil && !l.isNew(d, Again) {
				continue
			}
			if err == nil {
				err = l.judge(second)
			}
			l.note(fmt.Sprintf("%s, and again in its recovery before call %d, %v %s", what, calls, c.Op, c.Name), err)
		}
		return nil
	})
	_, err := wal.Open(image, dir, l.options)
	l.note(what, err)
}

// rot changes one byte of an image.
func (l *life) rot(image *disk.Mem, what string) {
	where, ok, err := rot(image, l.fates.IntN, byte(1<<l.fates.IntN(8)))
	if err != nil || !ok {
		l.note(what, err)
		return
	}
	d, err := digest(image, &l.ledger)
	if err == nil && !l.isNew(d, Rot) {
		return
	}
	if err == nil {
		err = l.judgeRotten(image)
	}
	l.note(what+", "+where, err)
}

// isNew reports whether this life has not had the image yet, and counts it. It is for the life alone to decide, so that the
// same life always gives the same images.
func (l *life) isNew(digest uint64, kind Kind) bool {
	if _, seen := l.seen[digest]; seen {
		return false
	}
	l.seen[digest] = struct{}{}
	l.run.count(digest, kind)
	return true
}

func (l *life) note(what string, err error) {
	if err != nil && l.wrong == nil {
		l.wrong = fmt.Errorf("%s: %w", what, err)
	}
}

// open starts the process. It is what a recovery vouches for that counts from then on.
func (l *life) open() error {
	for {
		log, err := wal.Open(l.mem, dir, l.options)
		if err == nil {
			l.log = log
			break
		}
		if l.failIn > 0 || l.faults == 0 {
			return err
		}
		l.mem.Kill() // the failed call was in recovery: the next process has a disk that works
	}
	if found := int(l.log.Durable()); found < l.synced || found > len(l.appended) {
		return fmt.Errorf("%d records, and %d of %d were synced", found, l.synced, len(l.appended))
	}
	l.recovered(l.log)
	return nil
}

func (l *life) append(records ...*paxos.Record) error {
	l.appended = append(l.appended, records...)
	_, err := l.log.Append(records)
	return err
}

func (l *life) sync() error {
	if err := l.log.Sync(); err != nil {
		return err
	}
	l.settled, l.synced = l.synced, len(l.appended)
	for _, r := range l.appended[l.settled:] {
		if l.promised.Less(r.Ballot) {
			l.promised = r.Ballot
		}
	}
	return nil
}

func (l *life) commit(records ...*paxos.Record) error {
	if err := l.append(records...); err != nil {
		return err
	}
	return l.sync()
}

func (l *life) trim(slot paxos.Slot) error {
	l.trimming = max(l.trimming, slot)
	if err := l.log.Trim(slot); err != nil {
		return err
	}
	l.trimmed = l.trimming
	return nil
}

func (l *life) found(founders string) error {
	l.founding = founders
	if err := l.log.SetFounders([]byte(founders)); err != nil {
		return err
	}
	l.founders = founders
	return nil
}

func (l *life) killAndOpen() error {
	l.mem.Kill()
	return l.open()
}

func (l *life) closeAndOpen() error {
	if err := l.log.Close(); err != nil {
		return err
	}
	return l.open()
}

// written is a life with everything in it, in an order that makes sense.
func (l *life) written() []func() error {
	steps := []func() error{
		l.open,
		func() error { return l.found("a, b and c") },
		func() error { return l.commit(promise(1)) },
	}
	for slot := paxos.Slot(1); slot <= 8; slot++ {
		steps = append(steps, func() error {
			if slot%3 == 0 {
				return l.commit(accept(slot, 1, 300), chosen(slot-1, 300))
			}
			return l.commit(accept(slot, 1, 300))
		})
	}
	steps = append(steps,
		func() error { return l.log.PrepareNext() },
		func() error { return l.commit(accept(9, 2, 9000), promise(3), accept(10, 3, 10)) },
		func() error { return l.trim(6) },
		l.killAndOpen)
	for slot := paxos.Slot(11); slot <= 16; slot++ {
		steps = append(steps, func() error { return l.commit(accept(slot, 4, 700), accept(slot, 5, 100)) })
	}
	steps = append(steps, func() error { return l.trim(13) }, l.closeAndOpen)
	for slot := paxos.Slot(17); slot <= 22; slot++ {
		steps = append(steps, func() error { return l.commit(accept(slot, 5, 900)) })
	}
	return append(steps, func() error { return l.trim(20) }, func() error { return l.log.Close() })
}

// stepsOfADrawnLife is how long a random life is: long enough that segments are recycled.
const stepsOfADrawnLife = 30

// drawn is a random life.
func (l *life) drawn() []func() error {
	steps := []func() error{l.open}
	for range stepsOfADrawnLife {
		steps = append(steps, l.drawnStep)
	}
	return steps
}

func (l *life) drawnStep() error {
	switch n := l.random.IntN(20); {
	case n < 10:
		return l.commit(l.drawRecords()...)
	case n < 12:
		return l.log.PrepareNext()
	case n < 14:
		return l.trim(paxos.Slot(l.random.Uint64N(uint64(l.slot) + 1)))
	case n < 15:
		if l.founders != "" {
			return nil
		}
		return l.found("a, b and c")
	case n < 16:
		return l.killAndOpen()
	case n < 17:
		return l.closeAndOpen()
	case n < 19:
		return l.failAndOpen()
	default:
		return l.crashAndOpen()
	}
}

// failAndOpen lets one of the next calls of the disk fail. The log must stop; the process is killed, and the next one sees what the page cache
// has, which is not what the disk has.
func (l *life) failAndOpen() error {
	l.failIn = 1 + l.random.IntN(8)
	err := l.commit(l.drawRecords()...)
	if l.failIn > 0 || err == nil {
		l.failIn = 0 // it did not come to it
		return err
	}
	if _, err := l.log.Append([]*paxos.Record{promise(l.round)}); err == nil {
		return fmt.Errorf("the log goes on after a failed call of the disk")
	}
	return l.killAndOpen()
}

// crashAndOpen lets the power fail in the middle of a batch, or before it, and goes on with what is left.
func (l *life) crashAndOpen() error {
	records := l.drawRecords()
	if err := l.append(records...); err != nil {
		return err
	}
	l.take(l.mem.Crash(l.random.IntN))
	return l.open()
}

// drawRecords makes the records of a batch.
func (l *life) drawRecords() []*paxos.Record {
	sizes := [...]int{0, 10, 300, 400, 700, 1500, 4200}
	records := make([]*paxos.Record, 1+l.random.IntN(4))
	for i := range records {
		if l.random.IntN(4) == 0 {
			l.round++
		}
		size := sizes[l.random.IntN(len(sizes))]
		switch n := l.random.IntN(8); {
		case n == 0:
			records[i] = promise(l.round)
		case n <= 2 && l.slot > l.trimming:
			records[i] = accept(l.slot, l.round, size) // the same slot again
		case n == 3 && l.slot > l.trimming:
			records[i] = chosen(l.slot, size)
		default:
			l.slot++
			records[i] = accept(l.slot, l.round, size)
		}
	}
	return slices.Clip(records)
}

func ballot(round uint64) paxos.Ballot { return paxos.Ballot{Round: round, Node: node, Boot: 1} }

func promise(round uint64) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordPromise, Ballot: ballot(round)}
}

func accept(slot paxos.Slot, round uint64, bytes int) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordAccept, Slot: slot, Ballot: ballot(round), Value: valueOf(slot, round, bytes)}
}

func chosen(slot paxos.Slot, bytes int) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordChosen, Slot: slot, Value: valueOf(slot, 0, bytes)}
}

// valueOf returns bytes that no other slot and ballot has.
func valueOf(slot paxos.Slot, round uint64, bytes int) paxos.Value {
	pattern := fmt.Sprintf("slot %d round %d; ", slot, round)
	v := make(paxos.Value, bytes)
	for i := range v {
		v[i] = pattern[i%len(pattern)]
	}
	return v
}
