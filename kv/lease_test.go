package kv

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"pgregory.net/rapid"

	"synod.dev/synod"
)

// keepUp executes an upkeep command as the only one of the next slot.
func (f *fixture) keepUp(u upkeep) Result {
	f.t.Helper()
	f.slot++
	return f.Apply([]synod.Command{{Slot: f.slot, Data: u.encode()}})[0].(Result)
}

func (f *fixture) grant(id, ttl int64) {
	f.t.Helper()
	f.must(&pb.LeaseGrantRequest{ID: id, TTL: ttl})
}

func (f *fixture) putLeased(key string, id int64) {
	f.t.Helper()
	f.must(&pb.PutRequest{Key: []byte(key), Lease: id})
}

// leaseRows reads all leases and attachments as they are stored.
func (f *fixture) leaseRows() (leases map[int64]lease, attached map[string]bool) {
	f.t.Helper()
	leases, attached = map[int64]lease{}, map[string]bool{}
	v := &view{reader: f.db}
	for l, err := range v.leases() {
		if err != nil {
			f.t.Fatalf("leases: %v", err)
		}
		leases[l.id] = l.lease
		for key, err := range v.attached(l.id) {
			if err != nil {
				f.t.Fatalf("attachments: %v", err)
			}
			attached[fmt.Sprintf("%d %q", l.id, key)] = true
		}
	}
	return leases, attached
}

// leasesMustBe compares leases, attachments, lease clock and expiry index with the model.
func (f *fixture) leasesMustBe(t *rapid.T, m *model) {
	f.mu.Lock() // the sweeper may be at work
	defer f.mu.Unlock()
	leases, attached := f.leaseRows()
	if !maps.Equal(leases, m.leases) || f.leaseClock != m.clock {
		t.Fatalf("leases %v at %v, want %v at %v", leases, f.leaseClock, m.leases, m.clock)
	}
	want := map[string]bool{}
	for key, kv := range m.history[m.rev] {
		if kv.Lease != 0 {
			want[fmt.Sprintf("%d %q", kv.Lease, key)] = true
		}
	}
	if !maps.Equal(attached, want) {
		t.Fatalf("attached %v, want %v", attached, want)
	}
	indexed := f.expiry.inOrder()
	slices.Sort(indexed)
	if !slices.Equal(indexed, slices.Sorted(maps.Keys(m.leases))) {
		t.Fatalf("index of %v, leases %v", indexed, m.leases)
	}
}

// keepUp is what upkeep does to the model.
func (m *model) keepUp(u upkeep) (renewed []int64) {
	switch u := u.(type) {
	case leaseRenewal:
		for _, id := range u.ids {
			l := m.leases[id]
			renewed = append(renewed, l.ttl)
			if l.exists() {
				m.leases[id] = lease{l.ttl, m.slot, m.clock}
			}
		}
	case leaseExpiry:
		deleted := 0
		for _, due := range u.leases {
			if l := m.leases[due.id]; l.exists() && l.renewed == due.renewed && deleted < expiryKeysMax {
				a := &attempt{model: m, now: maps.Clone(m.history[m.rev]), at: m.rev, changed: map[string]bool{}}
				deleted += a.endLease(due.id)
				a.take()
			}
		}
	case clockAdvance:
		if u.from == m.clock && u.by > 0 && u.by <= clockStepMax {
			m.clock += u.by
		}
	}
	return renewed
}

func (g requests) upkeep(m *model) upkeep {
	switch g.n(3, "upkeep") {
	case 0:
		return leaseRenewal{[]int64{g.lease(), g.lease()}}
	case 1:
		var e leaseExpiry
		for range 3 {
			id := g.lease()
			renewed := m.leases[id].renewed
			if g.n(4, "stale") == 0 {
				renewed--
			}
			e.leases = append(e.leases, expired{id, renewed})
		}
		return e
	}
	from := m.clock
	if g.n(4, "stale") == 0 {
		from -= time.Second
	}
	by := rapid.SampledFrom([]time.Duration{0, 1, clockStepMax, clockStepMax + 1}).Draw(g.t, "by")
	return clockAdvance{max(from, 0), by}
}

// TestLeasesAreTheirModel applies clients' commands and upkeep, right and stale, and compares every result and all that is stored.
func TestLeasesAreTheirModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		f := open(t, fs)
		m := newModel()
		for range rapid.IntRange(1, 80).Draw(t, "commands") {
			m.slot = f.slot + 1
			g := requests{t, m.rev}
			if g.n(3, "upkeep") == 0 {
				u := g.upkeep(m)
				want := m.keepUp(u)
				if got := f.keepUp(u); !slices.Equal(got.Renewed, want) || got.Err != nil {
					t.Fatalf("%v\n got %v\nwant %v", u, got, want)
				}
			} else {
				req := g.command()
				want, wantErr := m.apply(req)
				got, err := f.do(req)
				compareResult(t, req, Result{Response: got, Err: err}, Result{Response: want, Err: wantErr})
			}
			if f.Revision() != m.rev {
				t.Fatalf("revision %d, want %d", f.Revision(), m.rev)
			}
			f.leasesMustBe(t, m)
			f.compareReads(t, m, 1)
		}
		f.close()
		f = open(t, fs)
		f.mustBe(t, m)
		f.close()
	})
}

func TestRevocationDeletesTheAttachedKeysInOrderInOneRevision(t *testing.T) {
	f := newFixture(t)
	f.grant(7, 60)
	for _, key := range []string{"b", "a\x00", "a", "\xff", "moved", "gone", "freed"} {
		f.putLeased(key, 7)
	}
	f.grant(8, 60)
	f.putLeased("moved", 8)
	f.delete("gone")
	f.put("freed", "")
	before := f.Revision()
	resp := f.must(&pb.LeaseRevokeRequest{ID: 7}).(*pb.LeaseRevokeResponse)
	if resp.Header.Revision != before+1 {
		t.Fatalf("revision %d, want %d", resp.Header.Revision, before+1)
	}
	var deleted []string
	err := f.Events(t.Context(), before+1, before+1, func(_ int64, events []*mvccpb.Event) error {
		for _, e := range events {
			deleted = append(deleted, e.Type.String()+" "+string(e.Kv.Key))
		}
		return nil
	})
	want := []string{"DELETE a", "DELETE a\x00", "DELETE b", "DELETE \xff"}
	if err != nil || !slices.Equal(deleted, want) {
		t.Fatalf("events %q, %v; want %q", deleted, err, want)
	}
	if f.must(&pb.LeaseGrantRequest{ID: 9, TTL: 2}); f.must(&pb.LeaseRevokeRequest{ID: 9}).(*pb.LeaseRevokeResponse).Header.Revision != before+1 {
		t.Error("the end of a lease without keys made a revision")
	}
}

func TestLeaseRequestsAreRefusedAsEtcdDoes(t *testing.T) {
	f := newFixture(t)
	f.grant(math.MinInt64, 60)
	f.put("free", "")
	for _, c := range []struct {
		name string
		got  func() (any, error)
		want error
	}{
		{"grant of one that exists", func() (any, error) { return f.do(&pb.LeaseGrantRequest{ID: math.MinInt64, TTL: 60}) }, rpctypes.ErrGRPCLeaseExist},
		{"grant for too long", func() (any, error) { return f.do(&pb.LeaseGrantRequest{ID: math.MinInt64, TTL: LeaseTTLMax + 1}) }, rpctypes.ErrGRPCLeaseTTLTooLarge},
		{"grant without id", func() (any, error) { return f.do(&pb.LeaseGrantRequest{TTL: 5}) }, rpctypes.ErrGRPCLeaseNotFound},
		{"revocation of none", func() (any, error) { return f.do(&pb.LeaseRevokeRequest{ID: 1}) }, rpctypes.ErrGRPCLeaseNotFound},
		{"put with none", func() (any, error) { return f.do(&pb.PutRequest{Key: []byte("a"), Lease: 1}) }, rpctypes.ErrGRPCLeaseNotFound},
		{"put with none that ignores a value there is not", func() (any, error) {
			return f.do(&pb.PutRequest{Key: []byte("a"), Lease: 1, IgnoreValue: true})
		}, rpctypes.ErrGRPCLeaseNotFound},
		{"put within a txn", func() (any, error) {
			return f.do(&pb.TxnRequest{Success: ops(putOp("b"), &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a"), Lease: 1}}})})
		}, rpctypes.ErrGRPCLeaseNotFound},
	} {
		if _, err := c.got(); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if f.Revision() != 2 {
		t.Errorf("a refused command made revision %d", f.Revision())
	}
}

func TestTimeToLiveTellsOfALeaseAndOfItsKeysInOrder(t *testing.T) {
	clock := &testClock{}
	f := clock.open(t, vfs.NewMem())
	defer f.close()
	f.grant(-3, 60)
	f.putLeased("b", -3)
	f.putLeased("a", -3)
	clock.pass(10 * time.Second)
	ask := func(id int64, keys bool) *pb.LeaseTimeToLiveResponse {
		resp, err := f.LeaseTimeToLive(t.Context(), &pb.LeaseTimeToLiveRequest{ID: id, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if got := ask(-3, false); got.TTL != 50 || got.GrantedTTL != 60 || got.ID != -3 || got.Keys != nil || got.Header.Revision != 3 {
		t.Errorf("without keys: %v", got)
	}
	if got := ask(-3, true); fmt.Sprintf("%s", got.Keys) != "[a b]" {
		t.Errorf("with keys: %v", got)
	}
	if got := ask(4, true); got.TTL != -1 || got.GrantedTTL != 0 || got.ID != 4 {
		t.Errorf("of none: %v", got)
	}
	clock.pass(time.Hour)
	if got := ask(-3, false); got.TTL != 0 {
		t.Errorf("of one that may be ended: %v", got)
	}
}

func TestLeasesAreListedInTheOrderInWhichTheyEnd(t *testing.T) {
	f := newFixture(t)
	for id, ttl := range map[int64]int64{1: 300, 2: 100, -5: 200} {
		f.grant(id, ttl)
	}
	f.keepUp(leaseRenewal{[]int64{2, 17}})
	resp, err := f.LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, l := range resp.Leases {
		ids = append(ids, l.ID)
	}
	if !slices.Equal(ids, []int64{2, -5, 1}) {
		t.Fatalf("listed %v", ids)
	}
}

// TestExpiryEndsNoMoreThanItMayInOneCommand: a lease with many keys goes in one revision, and no other lease after it.
func TestExpiryEndsNoMoreThanItMayInOneCommand(t *testing.T) {
	f := newFixture(t)
	var e leaseExpiry
	for id := int64(1); id <= 4; id++ {
		f.grant(id, 60)
		e.leases = append(e.leases, expired{id, f.slot})
		for i := range 150 {
			f.putLeased(fmt.Sprintf("%d/%d", id, i), id)
		}
	}
	before := f.Revision()
	f.keepUp(e)
	if leases, _ := f.leaseRows(); f.Revision() != before+2 || len(leases) != 2 {
		t.Fatalf("%d revisions, left %v", f.Revision()-before, leases)
	}
	f.keepUp(e)
	if leases, _ := f.leaseRows(); f.Revision() != before+4 || len(leases) != 0 || f.count(everything) != 0 {
		t.Fatalf("%d revisions, left %v", f.Revision()-before, leases)
	}
}

func TestDamagedLeaseRowsAreRefused(t *testing.T) {
	for name, row := range map[string]struct{ key, value []byte }{
		"lease without value":         {appendLeaseKey(nil, 1), nil},
		"lease without TTL":           {appendLeaseKey(nil, 1), appendLease(nil, lease{})},
		"lease that lives too long":   {appendLeaseKey(nil, 1), appendLease(nil, lease{ttl: LeaseTTLMax + 1})},
		"lease with more behind":      {appendLeaseKey(nil, 1), append(appendLease(nil, lease{ttl: 1}), 0)},
		"lease with half an id":       {appendLeaseKey(nil, 1)[:5], appendLease(nil, lease{ttl: 1})},
		"lease clock of three bytes":  {clockKey, []byte{1, 2, 3}},
		"lease renewed before it all": {appendLeaseKey(nil, 1), appendLease(nil, lease{ttl: 1, renewedAt: -1})},
	} {
		fs := vfs.NewMem()
		f := open(t, fs)
		if err := f.db.Set(row.key, row.value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		f.close()
		if s, err := Open(Config{Dir: "db", FS: fs, Logger: quiet, Fail: func(error) {}}); err == nil {
			t.Errorf("%s: opened", name)
			s.Close()
		}
	}
}
