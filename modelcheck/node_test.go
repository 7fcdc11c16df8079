package modelcheck

import "testing"

// What is yet to be synced is part of a node's state where a crash can lose it, and nothing is yet to be synced where none can.
func TestANodeThatCannotCrashHasSyncedEverything(t *testing.T) {
	x := explored(t, "crash")
	waiting := 0
	for _, l := range x.locals {
		switch unsynced := len(l.log) - l.durable; {
		case unsynced > 0 && !x.mayCrash(l):
			t.Errorf("node %d cannot crash any more, and has %d records that are not durable", l.node+1, unsynced)
		case unsynced > 0:
			waiting++
		}
	}
	if waiting == 0 {
		t.Error("no node ever has a record that is not durable")
	}
}
