package paxos

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// queueModel is the admission queue as its contract has it: who waits, per source, in order.
type queueModel struct {
	q       admission
	waiting map[uint64][]uint64 // source → commands in order
	size    map[uint64]int      // command → what it is charged
	from    map[uint64]uint64   // command → source
	last    uint64
}

func newQueueModel(limits Limits) *queueModel {
	return &queueModel{q: newAdmission(limits), waiting: map[uint64][]uint64{}, size: map[uint64]int{}, from: map[uint64]uint64{}}
}

// add queues a command of n bytes, at least 8, and returns what gave way for it, by number.
func (m *queueModel) add(source uint64, n int) (dropped []uint64) {
	m.last++
	a := admitted{Proposal{Source: source, ID: m.last, Data: binary.LittleEndian.AppendUint64(nil, m.last)}, 1}
	a.Data = append(a.Data, make([]byte, n-8)...)
	m.waiting[source] = append(m.waiting[source], m.last)
	m.size[m.last], m.from[m.last] = a.cost(), source
	m.q.add(a, func(d admitted) { dropped = append(dropped, d.ID) })
	return dropped
}

func (m *queueModel) bytes(source uint64) (sum int) {
	for _, id := range m.waiting[source] {
		sum += m.size[id]
	}
	return sum
}

func (m *queueModel) total() (bytes, count int) {
	for source, ids := range m.waiting {
		bytes += m.bytes(source)
		count += len(ids)
	}
	return bytes, count
}

// take returns the commands of one batch, by number, and the batch's length.
func (m *queueModel) take(limit int) (ids []uint64, size int, err error) {
	batch := m.q.take(limit, func(*admitted) {})
	err = batch.Commands(func(c []byte) { ids = append(ids, binary.LittleEndian.Uint64(c)) })
	return ids, len(batch), err
}

// served notes that a command has left the queue from the front of its source.
func (m *queueModel) served(id uint64) error {
	source := m.from[id]
	if w := m.waiting[source]; len(w) == 0 || w[0] != id {
		return fmt.Errorf("command %d of source %d is served, %v wait there", id, source, w)
	}
	m.waiting[source] = m.waiting[source][1:]
	return nil
}

func TestAdmissionIsInOrderBoundedAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{AdmissionBytes: rapid.IntRange(300, 3000).Draw(t, "bytes"), AdmissionCount: rapid.IntRange(1, 20).Draw(t, "count"), QuantumBytes: rapid.IntRange(1, 400).Draw(t, "quantum")}
		m := newQueueModel(limits)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				source := rapid.Uint64Range(1, 4).Draw(t, "source")
				for _, id := range m.add(source, rapid.IntRange(8, 200).Draw(t, "bytes")) {
					gaveWay(t, m, id)
				}
			},
			"take": func(t *rapid.T) {
				if m.q.count == 0 {
					t.Skip("nothing is queued")
				}
				limit := rapid.IntRange(1, 1000).Draw(t, "limit")
				ids, size, err := m.take(limit)
				if err != nil || len(ids) == 0 || len(ids) > 1 && size > limit {
					t.Fatalf("a batch of %d commands has %d bytes, the limit is %d: %v", len(ids), size, limit, err)
				}
				for _, id := range ids {
					if err := m.served(id); err != nil {
						t.Fatal(err)
					}
				}
			},
			"drain": func(t *rapid.T) {
				m.q.drain(func(a admitted) {
					if err := m.served(a.ID); err != nil {
						t.Fatal(err)
					}
				})
				if _, count := m.total(); count != 0 {
					t.Fatalf("%d commands are lost when the queue is emptied", count)
				}
			},
			"": func(t *rapid.T) {
				bytes, count := m.total()
				if m.q.bytes != bytes || m.q.count != count {
					t.Fatalf("the queue counts %d bytes in %d commands; %d in %d are in it", m.q.bytes, m.q.count, bytes, count)
				}
				if bytes > limits.AdmissionBytes || count > limits.AdmissionCount {
					t.Fatalf("%d bytes in %d commands are queued, the bounds are %d and %d", bytes, count, limits.AdmissionBytes, limits.AdmissionCount)
				}
			},
		})
	})
}

// gaveWay checks that what was dropped is the last command of a source that had no less queued than any other, and takes it out.
func gaveWay(t *rapid.T, m *queueModel, id uint64) {
	source := m.from[id]
	for other := range m.waiting {
		if m.bytes(other) > m.bytes(source) {
			t.Fatalf("source %d with %d bytes gives way, source %d has %d", source, m.bytes(source), other, m.bytes(other))
		}
	}
	w := m.waiting[source]
	if len(w) == 0 || w[len(w)-1] != id {
		t.Fatalf("command %d of source %d gives way, %v wait there", id, source, w)
	}
	m.waiting[source] = w[:len(w)-1]
}

// Deficit round robin: sources that always have something queued never differ by more than a quantum and one command.
func TestBackloggedSourcesAreServedEquallyWithinAQuantum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const largest = 300
		quantum := rapid.IntRange(50, 2000).Draw(t, "quantum")
		sources := rapid.Uint64Range(2, 6).Draw(t, "sources")
		sizes := rapid.SliceOfN(rapid.IntRange(8, largest-commandOverhead), int(sources), int(sources)).Draw(t, "command sizes")
		m := newQueueModel(Limits{AdmissionBytes: 1 << 30, AdmissionCount: 1 << 30, QuantumBytes: quantum})
		served := make([]int, sources)
		for range 60 {
			for s := range sources {
				for m.bytes(s) < 4*quantum+2*largest { // a command of 8 bytes takes 9 in a batch and is charged 72
					m.add(s, sizes[s])
				}
			}
			ids, _, err := m.take(rapid.IntRange(1, quantum/2).Draw(t, "limit"))
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if err := m.served(id); err != nil {
					t.Fatal(err)
				}
				served[m.from[id]] += m.size[id]
			}
			if most, least := slices.Max(served), slices.Min(served); most-least > quantum+largest {
				t.Fatalf("bytes served by source: %v; they differ by more than the quantum of %d and a command", served, quantum)
			}
		}
	})
}

// One client asks for a hundred times as much as each of nine others, which together ask for less than there is. They get all of it, at once, and alike.
func TestAGreedySourceStarvesNobody(t *testing.T) {
	const quiet, greedy, rounds, capacity = 9, 0, 500, 2000 // bytes a round; 20 commands
	m := newQueueModel(Limits{AdmissionBytes: 1 << 20, AdmissionCount: 400, QuantumBytes: 200})
	served := make([]float64, quiet+1)
	add := func(source uint64) {
		for _, id := range m.add(source, 36) {
			if m.from[id] != greedy {
				t.Fatalf("quiet source %d gives way", m.from[id])
			}
			m.waiting[greedy] = m.waiting[greedy][:len(m.waiting[greedy])-1]
		}
	}
	for range rounds {
		for range 100 {
			add(greedy)
		}
		for s := range uint64(quiet) {
			add(s + 1)
		}
		ids, _, err := m.take(capacity)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if err := m.served(id); err != nil {
				t.Fatal(err)
			}
			served[m.from[id]]++
		}
		for s := range uint64(quiet) {
			if left := len(m.waiting[s+1]); left > 1 {
				t.Fatalf("quiet source %d asks for one command a round, and %d wait", s+1, left)
			}
		}
	}
	if j := jain(served[1:]); j < 0.99 {
		t.Errorf("Jain index %.4f among equal sources, which were served %v", j, served[1:])
	}
	if want := float64(rounds * (capacity/100 - quiet - 1)); served[greedy] < want {
		t.Errorf("the greedy source got %v of what the others left, want at least %v", served[greedy], want)
	}
}

// jain is the fairness index of Jain, Chiu and Hawe (1984): 1 if all are alike, 1/n if one has everything.
func jain(x []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

func TestACommandLargerThanTheQuantumAndTheBatchStillGoes(t *testing.T) {
	m := newQueueModel(Limits{AdmissionBytes: 1 << 20, AdmissionCount: 10, QuantumBytes: 10})
	m.add(1, 5000)
	m.add(2, 8)
	var ids []uint64
	for m.q.count > 0 {
		batch, _, err := m.take(100)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, batch...)
	}
	if !slices.Equal(ids, []uint64{2, 1}) {
		t.Errorf("served in the order %v; the small command need not wait for the large one", ids)
	}
}

// A source that gives way altogether leaves the others' turns as they were.
func TestASourceThatGivesWayTakesNobodysTurn(t *testing.T) {
	m := newQueueModel(Limits{AdmissionBytes: 1 << 20, AdmissionCount: 5, QuantumBytes: 100})
	const a, b, c, d = 1, 2, 3, 4
	m.add(a, 36) // is charged 100, the quantum
	m.add(b, 36)
	m.add(c, 36)
	m.add(c, 36)
	m.add(a, 500)
	if ids, _, err := m.take(40); err != nil || !slices.Equal(ids, []uint64{1}) {
		t.Fatalf("first %v are served: %v", ids, err)
	}
	m.add(d, 36)
	if dropped := m.add(d, 36); !slices.Equal(dropped, []uint64{5}) {
		t.Fatalf("%v give way, and not the longest source's", dropped)
	}
	var ids []uint64
	for m.q.count > 0 {
		batch, _, err := m.take(40)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, batch...)
	}
	if !slices.Equal(ids, []uint64{2, 3, 6, 4, 7}) {
		t.Errorf("served in the order %v", ids)
	}
}
