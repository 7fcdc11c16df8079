package synod

import (
	"fmt"
	"slices"

	"synod.dev/synod/paxos"
)

// Machines is several state machines in one log: a command's first byte names the machine it is for. Each machine sees its own commands, and keeps
// its own applied slot; one that is ahead of another after a restart is not shown a command twice.
type Machines struct {
	ids      []byte
	machines []StateMachine
	applied  []paxos.Slot
	index    [256]int8 // by machine id: index in machines, plus one
	batches  [][]Command
	places   [][]int
}

// NewMachines makes one machine of several, each under its id. The ids are part of the log's format for ever.
func NewMachines(machines map[byte]StateMachine) (*Machines, error) {
	if len(machines) == 0 || len(machines) > 127 {
		return nil, fmt.Errorf("synod: %d machines in one log; from 1 to 127 are possible", len(machines))
	}
	m := &Machines{}
	for id := range machines {
		m.ids = append(m.ids, id)
	}
	slices.Sort(m.ids)
	for i, id := range m.ids {
		machine := machines[id]
		m.index[id] = int8(i + 1)
		m.machines = append(m.machines, machine)
		m.applied = append(m.applied, machine.Applied())
	}
	m.batches = make([][]Command, len(m.ids))
	m.places = make([][]int, len(m.ids))
	return m, nil
}

// skipTo says that a machine holds the effects of everything up to slot.
func (m *Machines) skipTo(id byte, slot paxos.Slot) { m.applied[m.index[id]-1] = slot }

// holds reports whether the machine that a command is for has applied it already.
func (m *Machines) holds(c Command) bool {
	if len(c.Data) == 0 || m.index[c.Data[0]] == 0 {
		return false
	}
	return c.Slot <= m.applied[m.index[c.Data[0]]-1]
}

// Address returns data as a command for the machine with this id.
func Address(id byte, data []byte) []byte {
	return append(append(make([]byte, 0, len(data)+1), id), data...)
}

// Applied returns the slot that every machine has reached.
func (m *Machines) Applied() paxos.Slot { return slices.Min(m.applied) }

// Apply gives each machine its own commands, in order. A command for a machine that this version does not have stops the replica: to skip
// it would be to differ from those that have it.
func (m *Machines) Apply(commands []Command) []any {
	results := make([]any, len(commands))
	for at, c := range commands {
		if len(c.Data) == 0 || m.index[c.Data[0]] == 0 {
			panic(fmt.Sprintf("slot %d holds a command for a machine that this version does not have: run a newer one", c.Slot))
		}
		i := m.index[c.Data[0]] - 1
		if c.Slot <= m.applied[i] {
			continue
		}
		c.Data = c.Data[1:]
		m.batches[i] = append(m.batches[i], c)
		m.places[i] = append(m.places[i], at)
	}
	for i, machine := range m.machines {
		if len(m.batches[i]) == 0 {
			continue
		}
		for k, result := range machine.Apply(m.batches[i]) {
			results[m.places[i][k]] = result
		}
		clear(m.batches[i])
		m.batches[i], m.places[i] = m.batches[i][:0], m.places[i][:0]
	}
	return results
}

// Digest makes one of those of the machines that keep any; ok is false if none does, or one of them does not know its own.
func (m *Machines) Digest() (digest uint64, ok bool) {
	var digests []uint64
	for _, machine := range m.machines {
		if _, keeps := machine.(Digester); !keeps {
			continue
		}
		own, known := digestOf(machine)
		if !known {
			return 0, false
		}
		digests = append(digests, own)
	}
	return joinDigests(digests...), len(digests) > 0
}

// Advance tells each machine that wants to know.
func (m *Machines) Advance(slot paxos.Slot) {
	for i, machine := range m.machines {
		if marker, ok := machine.(SlotMarker); ok && slot > m.applied[i] {
			marker.Advance(slot)
		}
	}
}
