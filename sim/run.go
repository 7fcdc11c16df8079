package sim

import (
	"io"
	"time"
)

// Options say what to run.
type Options struct {
	Seed     uint64
	Steps    int       // events before the part that must finish everything; default 100,000
	Trace    io.Writer // gets a line for each event; nil for none
	Schedule *Schedule // play this instead of what the seed draws

	extra func(*world) // another rule, asked after each event: for tests of the simulator itself
}

// Result is what came of a run.
type Result struct {
	Seed          uint64
	Config        Config
	Events        int64
	Faults        map[string]int64 // injected, by kind; requests count as well, under write and read
	Probes        map[string]int64 // how often each rare situation came up, 0 included
	Answered      int64            // requests
	SimulatedTime time.Duration
	Hash          uint64    // of every event: the same for the same seed
	Violation     error     // a *Violation, or nil
	Schedule      *Schedule // what was done to the cluster, to be played again
}

// stepsDefault is how long a seed is unless told otherwise.
const stepsDefault = 100_000

// Run plays one seed, or one schedule. It is deterministic, and safe to call from several goroutines.
func Run(o Options) Result {
	s := Schedule{Seed: o.Seed, Steps: o.Steps, Config: drawConfig(o.Seed)}
	if o.Schedule != nil {
		s = *o.Schedule
	}
	if s.Steps == 0 {
		s.Steps = stepsDefault
	}
	w, err := newWorld(s.Seed, s.Config, o.Trace)
	if err != nil {
		return Result{Seed: s.Seed, Config: s.Config, Violation: err}
	}
	w.extra = o.extra
	w.play(&s)
	return w.result(&s)
}

// play runs the part with faults, then the part in which everything must finish.
func (w *world) play(s *Schedule) {
	defer w.catch()
	w.begin(s.Actions)
	w.run(int64(s.Steps))
	if w.violation == nil {
		w.finish()
	}
}

func (w *world) result(s *Schedule) Result {
	r := Result{Seed: s.Seed, Config: s.Config, Events: w.events, Faults: map[string]int64{}, Probes: map[string]int64{},
		Answered: w.workload.acked + w.workload.served, SimulatedTime: time.Duration(w.now) * time.Microsecond, Hash: w.hash,
		Schedule: &Schedule{Seed: s.Seed, Steps: s.Steps, Config: s.Config, Actions: w.actions}}
	for f, n := range w.faults {
		r.Faults[fault(f).String()] = n
	}
	for p, n := range w.probes {
		r.Probes[probe(p).String()] = n
	}
	if w.violation != nil {
		r.Violation = w.violation
	}
	return r
}
