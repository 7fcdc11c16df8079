package paxos

import (
	"testing"

	"pgregory.net/rapid"
)

// A window is a map from slot to item that forgets from below: played against one.
func TestAWindowIsAMapThatForgetsFromBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window[int]
		model, base := map[Slot]int{}, Slot(0)
		slots := rapid.Uint64Range(0, 30)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				s := Slot(slots.Draw(t, "slot"))
				if s < base {
					t.Skip("below the run")
				}
				v := rapid.IntRange(1, 100).Draw(t, "value")
				*w.at(s), model[s] = v, v
			},
			"drop": func(t *rapid.T) {
				s := Slot(slots.Draw(t, "slot"))
				w.dropBelow(s)
				base = max(base, s)
			},
			"reset": func(t *rapid.T) {
				base = Slot(slots.Draw(t, "slot"))
				w.reset(base)
				clear(model)
			},
			"": func(t *rapid.T) {
				if w.base != base || w.end() < base {
					t.Fatalf("the run is [%d, %d), its base should be %d", w.base, w.end(), base)
				}
				for s := Slot(0); s < 32; s++ {
					got := 0
					if p := w.get(s); p != nil {
						got = *p
					}
					want := model[s]
					if s < base {
						want = 0
					}
					if got != want {
						t.Fatalf("slot %d holds %d, want %d", s, got, want)
					}
				}
			},
		})
	})
}

func TestAWindowRefusesASlotThatItHasForgotten(t *testing.T) {
	var w window[int]
	w.reset(5)
	(&lone{t: t}).violates("a slot below the run", func() { w.at(4) })
}
