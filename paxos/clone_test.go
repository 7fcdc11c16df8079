package paxos

import (
	"reflect"
	"slices"
	"testing"
	"unsafe"
)

// immutable are the types that a replica and its clone may share.
var immutable = []reflect.Type{
	reflect.TypeFor[*Record](), reflect.TypeFor[*Message](), reflect.TypeFor[*Configuration](), reflect.TypeFor[*Change](), reflect.TypeFor[[]byte](),
}

// Every field of a replica is filled, whichever there are, so that one that Clone does not know fails this test.
func TestACloneIsEqualAndSharesNothingThatChanges(t *testing.T) {
	r := new(Replica)
	f := filler{replica: r}
	f.fill(reflect.ValueOf(r).Elem())
	queues := r.admission.ring
	r.admission.sources = map[uint64]*sourceQueue{queues[0].source: queues[0], queues[1].source: queues[1]}
	r.fx = nil // between steps
	c := r.Clone()
	if !reflect.DeepEqual(r, c) {
		t.Error("the clone differs")
	}
	for _, path := range shared("Replica", reflect.ValueOf(r).Elem(), reflect.ValueOf(c).Elem()) {
		t.Errorf("%s is the same memory in both", path)
	}
	for _, q := range c.admission.ring {
		if q != c.admission.sources[q.source] {
			t.Error("a queue in the ring is not the one that is looked up")
		}
	}
}

// filler gives every field below a value something, no two numbers alike; every slice two elements, with room for more; every back pointer the replica.
type filler struct {
	replica *Replica
	last    uint64
}

func (f *filler) fill(v reflect.Value) {
	f.last++
	switch v.Kind() {
	case reflect.Pointer:
		switch {
		case v.Type() == reflect.TypeFor[*Replica]():
			v.Set(reflect.ValueOf(f.replica))
		case slices.Contains(immutable, v.Type()):
			v.Set(reflect.New(v.Type().Elem()))
		default:
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			f.fill(reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 4))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.last))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(f.last)
	case reflect.Map: // there is one, and the test makes it
	default:
		panic("fields of kind " + v.Kind().String() + " are not known here")
	}
}

// shared returns the paths of what two values of a type have in common, unless it never changes.
func shared(path string, v, w reflect.Value) (found []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if slices.Contains(immutable, v.Type()) || v.IsNil() {
			return nil
		}
		if v.Pointer() == w.Pointer() {
			return []string{path}
		}
		if v.Type() == reflect.TypeFor[*Replica]() {
			return nil
		}
		return shared(path, v.Elem(), w.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			found = append(found, shared(path+"."+v.Type().Field(i).Name, v.Field(i), w.Field(i))...)
		}
	case reflect.Slice:
		if slices.ContainsFunc(immutable, v.Type().ConvertibleTo) {
			return nil
		}
		if v.Cap() > 0 && v.Pointer() == w.Pointer() {
			return []string{path}
		}
		for i := range v.Len() {
			found = append(found, shared(path, v.Index(i), w.Index(i))...)
		}
	case reflect.Map:
		if v.Pointer() == w.Pointer() {
			return []string{path}
		}
		for _, key := range v.MapKeys() {
			found = append(found, shared(path, v.MapIndex(key), w.MapIndex(key))...)
		}
	}
	return found
}
