package sim

// Shrink returns a short schedule that breaks the same rule as a run does, or the run's own if it breaks none. It cuts the run off behind the violation, leaves out actions ("delta
// debugging", Zeller and Hildebrandt, 2002), then has the surroundings do less by themselves. It is deterministic.
func Shrink(o Options) Schedule {
	r := Run(o)
	s := shrinker{best: *r.Schedule, extra: o.extra}
	v, ok := r.Violation.(*Violation)
	if !ok {
		return s.best
	}
	s.rule = v.Rule
	s.cutOff(v.Event)
	s.leaveOut()
	s.calmDown()
	s.leaveOut()
	return s.best
}

type shrinker struct {
	rule   string
	best   Schedule
	events int64 // played so far
	extra  func(*world)
}

// shrinkEventsMost bounds a shrinking to less than a minute.
const shrinkEventsMost = 10_000_000

// try keeps a schedule if it still breaks the rule, and reports whether it does.
func (s *shrinker) try(candidate Schedule) bool {
	if s.events > shrinkEventsMost {
		return false
	}
	r := Run(Options{Schedule: &candidate, extra: s.extra})
	s.events += r.Events
	v, ok := r.Violation.(*Violation)
	if !ok || v.Rule != s.rule {
		return false
	}
	if v.Event < int64(candidate.Steps) {
		candidate.Steps = int(v.Event) + 1
	}
	candidate.Actions = actionsUntil(candidate.Actions, v.At)
	s.best = candidate
	return true
}

// cutOff ends the run behind the violation, unless that came at the very end.
func (s *shrinker) cutOff(event int64) {
	candidate := s.best
	candidate.Steps = min(candidate.Steps, int(event)+1)
	s.try(candidate)
}

// actionsUntil returns the actions up to a time.
func actionsUntil(actions []Action, at int64) []Action {
	n := 0
	for n < len(actions) && actions[n].At <= at {
		n++
	}
	return actions[:n:n]
}

// leaveOut leaves out runs of actions, long ones first, until none can be spared.
func (s *shrinker) leaveOut() {
	for size := len(s.best.Actions); size > 0; {
		spared := false
		for from := 0; from < len(s.best.Actions); {
			candidate := s.best
			to := min(from+size, len(candidate.Actions))
			candidate.Actions = append(append([]Action{}, s.best.Actions[:from]...), s.best.Actions[to:]...)
			if s.try(candidate) {
				spared = true
			} else {
				from += size
			}
		}
		if size > 1 || !spared {
			size /= 2
		}
	}
}

// calmDown tries a more harmless configuration, one change at a time.
func (s *shrinker) calmDown() {
	for _, change := range []func(*Config){
		func(c *Config) { c.Loss = 0 },
		func(c *Config) { c.Duplicate = 0 },
		func(c *Config) { c.Corrupt = 0 },
		func(c *Config) { c.SkewMost = 0 },
		func(c *Config) { c.ApplyDelay = 0 },
		func(c *Config) { c.IdleDelay = 0 },
		func(c *Config) { c.TrimOneIn = 0 },
		func(c *Config) { c.ValueBytes = 1 },
		func(c *Config) { c.SyncMean = 1 },
		func(c *Config) { c.DelayMean = 1 },
	} {
		candidate := s.best
		change(&candidate.Config)
		s.try(candidate)
	}
}
