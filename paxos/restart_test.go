package paxos

import "testing"

// A leader's last announcement before it is superseded is in no Accept. If the promise record did not keep it, a restart would find one slot of the old ballot
// in doubt, and with it everything that was chosen since.
func TestARestartKnowsWhatWasChosenBeforeTheLastLeaderChange(t *testing.T) {
	old, recent := Ballot{1, 2, 1}, Ballot{2, 3, 1}
	a := acceptorAmong(t, 3)
	for s := Slot(1); s <= 5; s++ {
		a.accept(2, &Record{Kind: RecordAccept, Slot: s, Ballot: old, Chosen: s - 1, Value: command("x")})
	}
	a.receive(2, &Message{Kind: Commit, Ballot: old, Chosen: 5})
	for s := Slot(6); s <= 10; s++ {
		a.accept(3, &Record{Kind: RecordAccept, Slot: s, Ballot: recent, Chosen: s - 1, Value: command("y")})
	}
	a.sync()
	cfg := loneConfig(t, 1, 3)
	cfg.Boot = 2
	restarted := newLone(t, cfg, a.log...)
	if got := restarted.r.Delivered(); got != 9 {
		t.Errorf("after a restart %d slots are known to be chosen, 9 were", got)
	}
}

func TestAClusterComesBackAfterAllRestartedFarAboveTheirLastHint(t *testing.T) {
	old, new := Ballot{1, 2, 1}, Ballot{2, 3, 1}
	var log []*Record
	for s := Slot(1); s <= 8; s++ {
		log = append(log, voteFor(old, s, "x"))
	}
	for s := Slot(9); s <= 100; s++ {
		rec := &Record{Kind: RecordAccept, Slot: s, Ballot: new, Chosen: s - 1, Value: command("y")}
		log = append(log, rec)
	}
	cfg := loneConfig(t, 3, 3)
	cfg.Boot = 2
	cfg.Founders = cfg.Founders.WithWindow(8)
	l := newLone(t, cfg, log...)
	other := loneConfig(t, 1, 3)
	other.Boot = 2
	other.Limits = cfg.Limits
	a := newLone(t, other, log...)
	ballot := l.campaign(new)
	t.Logf("prefix %d", l.r.Status().Chosen)
	for i := 0; i < 10 && !l.leads(); i++ {
		prepare := &Message{Kind: Prepare, Ballot: ballot, Slot: l.r.Status().Chosen + 1}
		a.receive(3, prepare)
		a.sync()
		for _, p := range a.sent(Promise) {
			l.receive(1, p.Message)
		}
		l.ticks(1)
	}
	if !l.leads() {
		t.Fatal("no leader")
	}
}

func TestWhatIsSaidAgainDoesNotPileUpAtTheGate(t *testing.T) {
	a := acceptorAmong(t, 3)
	rec := voteFor(Ballot{1, 2, 1}, 1, "x")
	for range 10000 {
		a.accept(2, rec)
	}
	if n := len(a.r.gate.held); n > 10 {
		t.Fatal(n)
	}
}
