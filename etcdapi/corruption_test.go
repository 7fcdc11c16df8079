package etcdapi

import (
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"synod.dev/synod"
)

// In a cluster whose members differ, and none knows which is right, nothing is served until somebody ends the alarm.
func TestMembersThatDifferWithoutAMajorityRaiseTheAlarmOfCorruption(t *testing.T) {
	s := serve(t, nil)
	put := &pb.PutRequest{Key: []byte("key")}
	if _, err := s.kv().Put(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	for range 3 { // more than one word of it is no more than one
		s.observer.Events().Diverged(synod.Divergence{Slot: 256})
	}
	eventually(t, func() bool { return len(s.store.Alarms()) == 1 })
	if got := s.store.Alarms()[0]; got.Alarm != pb.AlarmType_CORRUPT || got.MemberID != 0 {
		t.Errorf("raised is %v", got)
	}
	for name, call := range map[string]func() error{
		"put":   func() error { _, err := s.kv().Put(t.Context(), put); return err },
		"range": func() error { _, err := s.kv().Range(t.Context(), &pb.RangeRequest{Key: put.Key}); return err },
	} {
		if err := call(); !errors.Is(rpctypes.Error(err), rpctypes.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.alarm(t, pb.AlarmRequest_DEACTIVATE, 0, pb.AlarmType_CORRUPT)
	if _, err := s.kv().Put(t.Context(), put); err != nil {
		t.Errorf("after the alarm was ended: %v", err)
	}
}

// The whole store is read now and then, and goes on if all is well.
func TestAStoreThatIsCheckedNowAndThenGoesOn(t *testing.T) {
	s := serve(t, func(c *Config) { c.CorruptCheckTime = time.Millisecond })
	for range 50 {
		if _, err := s.kv().Put(t.Context(), &pb.PutRequest{Key: []byte("key"), Value: []byte("value")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.store.Err(); err != nil {
		t.Error(err)
	}
}
