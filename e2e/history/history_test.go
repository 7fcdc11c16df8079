package history

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const searchLimit = 10 * time.Second

// story is a history that a correct store has made, with its log.
type story struct {
	ops []Op
	log []Command
}

// tell makes a story: clients whose requests overlap, some of unknown outcome, of which some happen, some of them late.
func tell(seed uint64, clients, steps int) story {
	random := rand.New(rand.NewPCG(seed, 0))
	var s story
	now := state{revision: firstRevision - 1}
	free := make([]time.Duration, clients) // when each client may ask again
	clock := time.Duration(0)
	for i := range steps {
		clock += time.Duration(1 + random.IntN(10))
		client := random.IntN(clients)
		key := random.IntN(3)
		op := Op{Kind: Kind(random.IntN(5)), Key: string(rune('a' + key)), Call: max(free[client]+1, clock-time.Duration(random.IntN(30)))}
		if op.Kind == Put || op.Kind == Swap {
			op.Value = fmt.Sprint(i)
		}
		if op.Kind == Swap {
			op.Expect = now.items[key].ModRevision * int64(random.IntN(2))
		}
		clock = max(clock, op.Call) // it happens now
		op.Return = clock + time.Duration(1+random.IntN(30))
		free[client] = op.Return
		op.Outcome = Acknowledged
		if random.IntN(10) == 0 {
			op.Outcome = Outcome(2 * random.IntN(2)) // unknown or refused
		}
		if happens := op.Outcome == Acknowledged || op.Outcome == Unknown && random.IntN(2) == 0; happens {
			s.execute(&now, &op, key)
		}
		s.ops = append(s.ops, op)
	}
	return s
}

func (s *story) execute(now *state, op *Op, key int) {
	if op.writes() {
		s.log = append(s.log, op.command())
	}
	done := false
	if op.Kind != LocalGet {
		*now, done = now.step(request{op, key})
	}
	if op.Outcome != Acknowledged {
		return
	}
	op.Revision, op.Done = now.revision, done && op.Kind != Put
	if !op.writes() || op.Kind == Swap && !done {
		op.Seen = now.items[key]
	}
}

// find returns a request that fits; the test fails if the story has none.
func (s story) find(t *testing.T, fits func(*Op) bool) *Op {
	t.Helper()
	for i := range s.ops {
		if fits(&s.ops[i]) {
			return &s.ops[i]
		}
	}
	t.Fatal("the story has no such request")
	return nil
}

func TestTrueHistoriesAreAccepted(t *testing.T) {
	for seed := range uint64(200) {
		s := tell(seed, 6, 300)
		if errs := Check(s.ops, s.log); errs != nil {
			t.Fatalf("seed %d: the witness: %v", seed, errs)
		}
		if err := Linearizable(s.ops, s.log, searchLimit); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestCorruptHistoriesAreRejected corrupts true histories in every way that a broken store would, and demands of the judges to notice.
func TestCorruptHistoriesAreRejected(t *testing.T) {
	acknowledged := func(kind Kind, done bool) func(*Op) bool {
		return func(op *Op) bool { return op.Outcome == Acknowledged && op.Kind == kind && op.Done == done }
	}
	tests := []struct {
		name    string
		corrupt func(*testing.T, *story)
		reason  string // of the witness
		alone   bool   // the witness alone can know
	}{
		{"an acknowledged write is not in the log", func(t *testing.T, s *story) {
			lost := s.find(t, acknowledged(Put, false)).Value
			s.log = slices.DeleteFunc(s.log, func(c Command) bool { return c.Value == lost })
		}, "lost: put", true},
		{"the last write is not in the log", func(t *testing.T, s *story) {
			s.ops = append(s.ops, Op{Kind: Put, Key: "a", Value: "last", Call: time.Hour, Return: 2 * time.Hour, Outcome: Acknowledged, Revision: endOf(s) + 1})
		}, "lost: put a = last", true},
		{"a write is in the log twice", func(t *testing.T, s *story) {
			i := slices.IndexFunc(s.log, func(c Command) bool { return c.Kind == Put })
			s.log = append(s.log, s.log[i])
		}, "happened twice", true},
		{"two writers were told each other's revision", func(t *testing.T, s *story) {
			a := s.find(t, acknowledged(Put, false))
			b := s.find(t, func(op *Op) bool { return acknowledged(Put, false)(op) && op.Call > a.Return })
			a.Revision, b.Revision = b.Revision, a.Revision
		}, "lost: put", false},
		{"a refused write is in the log", func(t *testing.T, s *story) {
			refused := s.find(t, func(op *Op) bool { return op.Kind == Put && op.Outcome == Refused })
			s.log = append(s.log, refused.command())
		}, "has not happened, its client was told", true},
		{"the log has a write that nobody made", func(t *testing.T, s *story) {
			s.log = append(s.log, Command{Kind: Put, Key: "a", Value: "from nowhere"})
		}, "nobody has asked", true},
		{"the log has a delete that nobody made", func(t *testing.T, s *story) {
			s.ops = slices.DeleteFunc(s.ops, func(op Op) bool { return op.Kind == Delete && op.Outcome == Unknown })
			s.log = append(s.log, Command{Kind: Put, Key: "z", Value: "z"}, Command{Kind: Delete, Key: "z"})
			s.ops = append(s.ops, Op{Kind: Put, Key: "z", Value: "z", Call: time.Hour, Return: 2 * time.Hour, Outcome: Unknown})
		}, "nobody has asked", true},
		{"a read is staler by one revision than what was told before", func(t *testing.T, s *story) {
			s.quiet()
			s.put("a", "fresh")
			before := endOf(s) - 1
			s.ask(Op{Kind: Get, Key: "a", Revision: before, Seen: mustReplay(t, s).at("a", before)})
		}, "stale: get a", false},
		{"a read misses the last write under its revision", func(t *testing.T, s *story) {
			s.quiet()
			s.put("a", "fresh")
			s.ask(Op{Kind: Get, Key: "a", Revision: endOf(s), Seen: mustReplay(t, s).at("a", endOf(s)-1)})
		}, "saw", false},
		{"a read has another's answer", func(t *testing.T, s *story) {
			a := s.find(t, func(op *Op) bool { return acknowledged(Get, false)(op) && op.Seen.Value != "" })
			b := s.find(t, func(op *Op) bool {
				return acknowledged(Get, false)(op) && op.Seen.Value != "" && op.Call > a.Return && op.Seen != a.Seen
			})
			a.Revision, a.Seen, b.Revision, b.Seen = b.Revision, b.Seen, a.Revision, a.Seen
		}, "get", false},
		{"a serializable read shows what never was", func(t *testing.T, s *story) {
			s.find(t, func(op *Op) bool { return acknowledged(LocalGet, false)(op) && op.Seen.Version > 0 }).Seen.Version++
		}, "local get", true},
		{"a read comes from the future", func(t *testing.T, s *story) {
			s.quiet()
			s.ask(Op{Kind: Get, Key: "a", Revision: endOf(s) + 1, Seen: Item{Value: "soon", ModRevision: endOf(s) + 1, Version: mustReplay(t, s).at("a", endOf(s)).Version + 1}})
			s.put("a", "soon")
		}, "had been told before it began", false},
		{"a swap puts although its condition does not hold", func(t *testing.T, s *story) {
			s.quiet()
			s.put("a", "in the way")
			s.ask(Op{Kind: Swap, Key: "a", Value: "put all the same", Expect: endOf(s) - 1, Revision: endOf(s) + 1, Done: true})
			s.log = append(s.log, s.ops[len(s.ops)-1].command())
		}, "lost: swap", false},
		{"a swap does not put although its condition holds", func(t *testing.T, s *story) {
			s.quiet()
			s.put("a", "as expected")
			there := mustReplay(t, s).at("a", endOf(s))
			s.ask(Op{Kind: Swap, Key: "a", Value: "not put", Expect: there.ModRevision, Revision: endOf(s), Seen: there})
		}, "its condition does not hold", false},
		{"a delete overlooks the key", func(t *testing.T, s *story) {
			s.quiet()
			s.put("a", "there")
			s.ask(Op{Kind: Delete, Key: "a", Revision: endOf(s)})
		}, "found nothing", false},
		{"a write took effect before it was asked for", func(t *testing.T, s *story) {
			s.quiet()
			s.ask(Op{Kind: Get, Key: "b", Revision: endOf(s) + 1, Seen: mustReplay(t, s).at("b", endOf(s))})
			s.put("a", "early")
		}, "had been told before it began", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(10) {
				s := tell(seed, 6, 300)
				test.corrupt(t, &s)
				errs := Check(s.ops, s.log)
				if !slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), test.reason) }) {
					t.Errorf("seed %d: the witness says %v; want %q", seed, errs, test.reason)
				}
				if err := Linearizable(s.ops, s.log, searchLimit); !test.alone && (err == nil || !strings.Contains(err.Error(), "no order")) {
					t.Errorf("seed %d: Porcupine says %v", seed, err)
				}
			}
		})
	}
}

func mustReplay(t *testing.T, s *story) *store {
	t.Helper()
	r, err := replay(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func endOf(s *story) int64 {
	r, err := replay(s.log)
	if err != nil {
		panic(err)
	}
	return r.revision()
}

// quiet leaves only what has happened in the story, so that nothing of unknown outcome can explain what follows.
func (s *story) quiet() {
	kept := story{}
	now := state{revision: firstRevision - 1}
	for _, op := range s.ops {
		if op.Outcome == Acknowledged {
			kept.execute(&now, &op, int(op.Key[0]-'a'))
			kept.ops = append(kept.ops, op)
		}
	}
	*s = kept
}

// put appends an acknowledged write after everything else.
func (s *story) put(key, value string) {
	s.log = append(s.log, Command{Kind: Put, Key: key, Value: value})
	s.ask(Op{Kind: Put, Key: key, Value: value, Revision: endOf(s)})
}

// ask appends an acknowledged request after everything else.
func (s *story) ask(op Op) {
	var last time.Duration
	for _, o := range s.ops {
		last = max(last, o.Return)
	}
	op.Outcome, op.Call, op.Return = Acknowledged, last+1, last+2
	s.ops = append(s.ops, op)
}

// TestManyDeletesOfUnknownOutcomeAreJudgedSoon: of four hundred of them half have happened, each some time after its call.
func TestManyDeletesOfUnknownOutcomeAreJudgedSoon(t *testing.T) {
	const deletes, requests = 400, 2000
	random := rand.New(rand.NewPCG(1, 0))
	var s story
	now := state{revision: firstRevision - 1}
	for i := range requests {
		key := random.IntN(5)
		op := Op{Kind: Put, Key: string(rune('a' + key)), Value: fmt.Sprint(i), Call: time.Duration(10 * i), Return: time.Duration(10*i + 15), Outcome: Acknowledged}
		if i%(requests/deletes) == 0 {
			op = Op{Kind: Delete, Key: op.Key, Call: op.Call - 5, Return: op.Return}
			s.ops = append(s.ops, op)
			if random.IntN(2) == 0 {
				continue
			}
		} else if random.IntN(2) == 0 {
			op.Kind, op.Value = Get, ""
		}
		s.execute(&now, &op, key)
		if op.Outcome == Acknowledged {
			s.ops = append(s.ops, op)
		}
	}
	if errs := Check(s.ops, s.log); errs != nil {
		t.Errorf("the witness: %v", errs)
	}
	if err := Linearizable(s.ops, s.log, searchLimit); err != nil {
		t.Error(err)
	}
}

// TestReadsThatTookLongAreJudgedSoon: a member is asked for reads and stops; they return after many other requests. One of them comes before a write that
// nobody was told of and that began first, all others come last but for such a write.
func TestReadsThatTookLongAreJudgedSoon(t *testing.T) {
	const long, requests = 25, 1000
	var s story
	now := state{revision: firstRevision - 1}
	ask := func(op Op) {
		s.execute(&now, &op, int(op.Key[0]-'a'))
		s.ops = append(s.ops, op)
	}
	read := Op{Kind: Get, Key: "a", Call: 1, Return: 20 * requests, Outcome: Acknowledged}
	ask(read)
	ask(Op{Kind: Put, Key: "a", Value: "untold", Call: 0, Return: 20 * requests, Outcome: Unknown})
	for i := range requests {
		ask(Op{Kind: Put, Key: "b", Value: fmt.Sprint(i), Call: time.Duration(10*i + 10), Return: time.Duration(10*i + 45), Outcome: Acknowledged})
	}
	for range long {
		ask(read)
	}
	ask(Op{Kind: Put, Key: "a", Value: "untold, too", Call: 0, Return: 20 * requests, Outcome: Unknown})
	if errs := Check(s.ops, s.log); errs != nil {
		t.Errorf("the witness: %v", errs)
	}
	if err := Linearizable(s.ops, s.log, searchLimit); err != nil {
		t.Error(err)
	}
}

// TestNarrowedRequestsBeginInTheOrderOfTheirRanks, and no two at the same time: what begins together is tried in any order, and of reads that wait together with a write each set.
func TestNarrowedRequestsBeginInTheOrderOfTheirRanks(t *testing.T) {
	for seed := range uint64(100) {
		s := tell(seed, 6, 300)
		asked, err := search(s.ops, s.log)
		if err != nil || !narrow(asked) {
			t.Fatalf("seed %d: no order is left: %v", seed, err)
		}
		slices.SortFunc(asked, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		for i := range asked[1:] {
			if a, b := asked[i], asked[i+1]; a.Call == b.Call || rank(a) > rank(b) {
				t.Fatalf("seed %d: a request of rank %d begins at %d, the next, of rank %d, at %d", seed, rank(a), a.Call, rank(b), b.Call)
			}
		}
	}
}

// TestNoOrderIsLost: what narrow takes away decides nothing. Short histories, true and corrupted, are judged as Porcupine alone judges them.
func TestNoOrderIsLost(t *testing.T) {
	verdicts := map[bool]int{}
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := tell(seed, 4, 12)
		if seed%2 == 0 {
			for range 3 {
				corrupted := &s.ops[random.IntN(len(s.ops))]
				switch random.IntN(4) {
				case 0:
					corrupted.Revision += int64(random.IntN(3) - 1)
				case 1:
					corrupted.Return = corrupted.Call + 1
				case 2:
					corrupted.Call = corrupted.Return - 1
				case 3:
					corrupted.Call, corrupted.Return = corrupted.Call+10, corrupted.Return+10
				}
			}
		}
		asked, err := search(s.ops, s.log)
		if err != nil {
			t.Fatal(err)
		}
		alone := porcupine.CheckOperations(model, asked)
		if narrowed := Linearizable(s.ops, s.log, searchLimit) == nil; narrowed != alone {
			t.Fatalf("seed %d: narrowed %v, alone %v: %+v", seed, narrowed, alone, s.ops)
		}
		verdicts[alone]++
	}
	if verdicts[true] < 1000 || verdicts[false] < 500 {
		t.Errorf("true and false: %v, so too little was checked", verdicts)
	}
}

func TestASearchThatRunsOutOfTimeIsNoPass(t *testing.T) {
	s := tell(1, 6, 300)
	if err := Linearizable(s.ops, s.log, time.Nanosecond); err == nil {
		t.Error("a search without time is a pass")
	}
}

func TestAHistoryOfTooManyKeysIsNotJudged(t *testing.T) {
	var ops []Op
	for i := range KeysMax + 1 {
		ops = append(ops, Op{Kind: Get, Key: fmt.Sprint(i), Call: 1, Return: 2, Outcome: Acknowledged, Revision: 1})
	}
	if err := Linearizable(ops, nil, searchLimit); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("got %v", err)
	}
}
