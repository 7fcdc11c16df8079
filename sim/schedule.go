package sim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Action is one thing that is done to the cluster from outside, at a time. What it cannot do then, such as to crash a member that is down, it does not.
type Action struct {
	At     int64 // microseconds of simulated time
	Kind   Kind
	Member int    // index; 0 if the kind needs none
	Arg    uint64 // its meaning stands beside the kind
	Draw   uint64 // seed for what the action draws itself
}

// Kind is a kind of action: a request of a client, or a fault. Kept schedules have lists by Kind: a new one goes to the end.
type Kind uint8

const (
	Write      Kind = iota // a client's command to a member
	Read                   // a client's linearizable read from a member
	Start                  // a member that is down boots
	Crash                  // the power fails at a member, also in the middle of a write
	CrashAmid              // the same, between two effects of its next step that has any
	CrashBoot              // a member that is down boots, and the power fails in its Arg'th disk operation
	Kill                   // a process ends, its machine goes on
	Stop                   // a member ends cleanly
	Blackout               // the power fails everywhere
	Pause                  // a process stands still for Arg microseconds
	Partition              // the links with bits in Arg are cut, each in one direction, all others whole
	Break                  // the connections between Member and member Arg break and lose what is on its way
	Clog                   // what Member sends to anybody is held back for Arg microseconds
	Replay                 // Arg old messages arrive once more
	Rot                    // bytes of Member's log change
	RotVital               // bytes of one copy of Member's vital state change
	WreckVital             // bytes of each copy of Member's vital state change: it cannot start any more
	Wipe                   // Member loses its disk and comes back with an empty one
	FailIO                 // the Arg'th next operation of Member's disk fails
	FillDisk               // Member's files cannot grow any more, until it starts again
	Stall                  // Member's disk does nothing for Arg microseconds
	Skew                   // Member's ticks take Arg microseconds from now on
	Leap                   // Member's clock jumps ahead: Arg ticks at once
	Campaign               // Member takes over, whatever its election thinks
	Change                 // an administrator asks Member for another membership
	Lose                   // Member loses its disk, where it can be done without, and comes back as another member
	Call                   // a client with a session does what is next, at Member
	kinds
)

var kindNames = [kinds]string{"write", "read", "start", "crash", "crash-amid", "crash-boot", "kill", "stop", "blackout", "pause", "partition", "break", "clog", "replay",
	"rot", "rot-vital", "wreck-vital", "wipe", "fail-io", "fill-disk", "stall", "skew", "leap", "campaign", "change", "lose", "call"}

func (k Kind) String() string { return kindNames[k] }

// Schedule is a run as data: what Run needs to play it again. An empty list of actions is not the same as none drawn.
type Schedule struct {
	Seed    uint64
	Steps   int
	Config  Config
	Actions []Action
}

// WriteTo writes the schedule as text: the seed, the number of events, the configuration, then a line for each action.
func (s *Schedule) WriteTo(to io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nsteps %d\nconfig %v\n", s.Seed, s.Steps, s.Config)
	for _, a := range s.Actions {
		fmt.Fprintf(&b, "%d %v %d %d %d\n", a.At, a.Kind, a.Member, a.Arg, a.Draw)
	}
	n, err := io.WriteString(to, b.String())
	return int64(n), err
}

// ReadSchedule reads what WriteTo wrote.
func ReadSchedule(from io.Reader) (*Schedule, error) {
	s := &Schedule{Actions: []Action{}}
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		if err := s.readLine(lines.Text()); err != nil {
			return nil, fmt.Errorf("sim: schedule, line %d: %w", n, err)
		}
	}
	return s, lines.Err()
}

func (s *Schedule) readLine(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "seed":
		_, err := fmt.Sscan(rest, &s.Seed)
		return err
	case "steps":
		_, err := fmt.Sscan(rest, &s.Steps)
		return err
	case "config":
		return json.Unmarshal([]byte(rest), &s.Config)
	}
	var a Action
	var kind string
	if _, err := fmt.Sscan(line, &a.At, &kind, &a.Member, &a.Arg, &a.Draw); err != nil {
		return err
	}
	k := slices.Index(kindNames[:], kind)
	if k < 0 || a.Member < 0 || a.Member >= s.Config.nodes() {
		return fmt.Errorf("%q is no action of this cluster", line)
	}
	a.Kind = Kind(k)
	s.Actions = append(s.Actions, a)
	return nil
}
