package modelcheck

import (
	"reflect"
	"slices"
)

var (
	proposerType = fieldType("proposer")
	learnerType  = fieldType("learner")
)

// The values of a proposer's phase.
const (
	preparing = 1
	leading   = 2
)

// spent are the fields that nothing reads any more in a gathered world, so that proposers which differ only in them are in one state: which quorum of promises a leader had, once every slot that they left
// open is proposed in, and no other configuration can follow; what the last ballot has left behind, until a new one begins; how far others have said to be, where nobody asks them.
func spent(v reflect.Value, changing bool) (names []string) {
	switch v.Type() {
	case learnerType:
		return []string{"peers"}
	case proposerType:
		switch v.FieldByName("phase").Uint() {
		case leading:
			if v.FieldByName("open").Len() == 0 && !changing {
				return []string{"recovery"}
			}
		case preparing:
			return []string{"recovered", "next", "announced"}
		default:
			return []string{"ballot", "recovered", "next", "announced"}
		}
	}
	return nil
}

// without adds fields of a struct to those that are left out.
func without(t reflect.Type, skips []bool, names []string) []bool {
	if names == nil {
		return skips
	}
	skips = slices.Clone(skips)
	for _, name := range names {
		f, ok := t.FieldByName(name)
		if !ok {
			panic(t.String() + " has no field " + name)
		}
		skips[f.Index[0]] = true
	}
	return skips
}
