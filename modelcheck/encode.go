package modelcheck

import (
	"encoding/binary"
	"reflect"
	"slices"

	"synod.dev/synod/paxos"
)

// encoder writes down a replica so that two replicas have the same bytes only if they will answer the same events alike. It reads every field there is, by reflection: a field that is
// added tomorrow is part of the state tomorrow.
type encoder struct {
	durable  uint64 // positions in the log up to here are alike: all that is ever asked of them is whether they are durable
	gathered bool   // what is spent is left out
	changing bool   // the membership may be
	bytes    []byte
}

// settled are the fields that nothing in a world changes or reads: what the replica was made with, which is the same in all states of a node but for the boot counter; the effects, of a step that is
// over; and what only the passing of time asks for, of which there is none.
var settled = map[reflect.Type][]string{
	reflect.TypeFor[paxos.Replica](): {"cfg", "fx"},
	fieldType("election"):            {"random", "wait", "attempts"},
}

func fieldType(name string) reflect.Type {
	f, ok := reflect.TypeFor[paxos.Replica]().FieldByName(name)
	if !ok {
		panic("paxos.Replica has no field " + name)
	}
	return f.Type
}

var (
	replicaType       = reflect.TypeFor[*paxos.Replica]()
	recordType        = reflect.TypeFor[*paxos.Record]()
	messageType       = reflect.TypeFor[*paxos.Message]()
	configurationType = reflect.TypeFor[*paxos.Configuration]()
	lsnType           = reflect.TypeFor[paxos.LSN]()
)

// skipped holds, by struct type, which fields are left out.
var skipped = map[reflect.Type][]bool{}

func skip(t reflect.Type) []bool {
	s, ok := skipped[t]
	if !ok {
		s = make([]bool, t.NumField())
		for i := range s {
			s[i] = slices.Contains(settled[t], t.Field(i).Name)
		}
		skipped[t] = s
	}
	return s
}

func (m *model) appendReplica(b []byte, r *paxos.Replica) []byte {
	e := encoder{durable: uint64(r.Status().Durable), gathered: m.world.gathered, changing: m.changing, bytes: b}
	e.value(reflect.ValueOf(r).Elem())
	return e.bytes
}

func (e *encoder) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		n := uint64(0)
		if v.Bool() {
			n = 1
		}
		e.number(n)
	case reflect.Int, reflect.Int64:
		e.number(uint64(v.Int()))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		n := v.Uint()
		if v.Type() == lsnType {
			n = max(n, e.durable) - e.durable
		}
		e.number(n)
	case reflect.Struct:
		skips := skip(v.Type())
		if e.gathered {
			skips = without(v.Type(), skips, spent(v, e.changing))
		}
		for i, skip := range skips {
			if !skip {
				e.value(v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			e.value(v.Index(i))
		}
	case reflect.Slice:
		e.number(uint64(v.Len()))
		for i := range v.Len() {
			e.value(v.Index(i))
		}
	case reflect.Map:
		e.sorted(v)
	case reflect.Pointer:
		e.pointer(v)
	default:
		panic("a replica has a field of kind " + v.Kind().String())
	}
}

func (e *encoder) number(n uint64) { e.bytes = binary.AppendUvarint(e.bytes, n) }

func (e *encoder) pointer(v reflect.Value) {
	switch {
	case v.Type() == replicaType:
		return // back to the whole
	case v.IsNil():
		e.number(0)
		return
	}
	e.number(1)
	switch v.Type() {
	case recordType:
		e.record((*paxos.Record)(v.UnsafePointer()))
	case messageType:
		for _, piece := range paxos.AppendMessage(nil, (*paxos.Message)(v.UnsafePointer())) {
			e.bytes = append(e.bytes, piece...)
		}
	case configurationType:
		e.bytes = paxos.AppendConfigurations(e.bytes, []*paxos.Configuration{(*paxos.Configuration)(v.UnsafePointer())})
	default:
		e.value(v.Elem())
	}
}

// record writes what a record says; its own encoding has check sums as well.
func (e *encoder) record(r *paxos.Record) {
	for _, n := range [...]uint64{uint64(r.Kind), uint64(r.Slot), r.Ballot.Round, uint64(r.Ballot.Node), uint64(r.Ballot.Boot), uint64(r.Chosen), uint64(len(r.Value))} {
		e.number(n)
	}
	e.bytes = append(e.bytes, r.Value...)
}

// sorted writes a map in the order of its keys, which are numbers.
func (e *encoder) sorted(v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return int(a.Uint()) - int(b.Uint()) })
	e.number(uint64(len(keys)))
	for _, key := range keys {
		e.number(key.Uint())
		e.value(v.MapIndex(key))
	}
}
