package kv

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
)

// alarm raises or ends an alarm and returns those that the answer names.
func (f *fixture) alarm(member uint64, t pb.AlarmType, raise bool) []*pb.AlarmMember {
	f.t.Helper()
	f.slot++
	command := EncodeAlarm(&pb.AlarmMember{MemberID: member, Alarm: t}, raise)
	r := f.Apply([]synod.Command{{Slot: f.slot, Data: command}})[0].(Result)
	if r.Err != nil {
		f.t.Fatalf("alarm: %v", r.Err)
	}
	return r.Response.(*pb.AlarmResponse).Alarms
}

func TestAlarmsForbidWhatEtcdsDo(t *testing.T) {
	nested := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Failure: []*pb.RequestOp{putOp("a")}}}}}}
	deletes := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("none")}}}}}
	for _, tc := range []struct {
		name             string
		req              proto.Message
		noSpace, corrupt bool // forbidden
	}{
		{"put", &pb.PutRequest{Key: []byte("a")}, true, true},
		{"delete", &pb.DeleteRangeRequest{Key: []byte("none")}, false, true},
		{"transaction that puts", &pb.TxnRequest{Failure: []*pb.RequestOp{putOp("a")}}, true, true},
		{"transaction that puts in a nested one", nested, true, true},
		{"transaction that deletes", deletes, false, true},
		{"compaction", &pb.CompactionRequest{Revision: 2}, false, true},
		{"lease", &pb.LeaseGrantRequest{ID: 7, TTL: 60}, true, true},
	} {
		for _, alarm := range []struct {
			t         pb.AlarmType
			forbidden bool
			err       error
		}{{pb.AlarmType_NOSPACE, tc.noSpace, rpctypes.ErrGRPCNoSpace}, {pb.AlarmType_CORRUPT, tc.corrupt, rpctypes.ErrGRPCCorrupt}} {
			f := newFixture(t)
			f.put("b", "1")
			f.alarm(3, alarm.t, true)
			_, err := f.do(tc.req)
			if alarm.forbidden && !errors.Is(err, alarm.err) || !alarm.forbidden && err != nil {
				t.Errorf("%s under %v: %v", tc.name, alarm.t, err)
			}
			f.alarm(3, alarm.t, false)
			if _, err := f.do(tc.req); alarm.forbidden && err != nil {
				t.Errorf("%s after %v: %v", tc.name, alarm.t, err)
			}
		}
	}
}

func TestACorruptClusterIsNotRead(t *testing.T) {
	f := newFixture(t)
	f.put("a", "1")
	get := &pb.RangeRequest{Key: []byte("a")}
	read := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: get}}}}
	f.alarm(3, pb.AlarmType_NOSPACE, true)
	if _, err := f.Range(context.Background(), get); err != nil {
		t.Errorf("range without space: %v", err)
	}
	f.alarm(3, pb.AlarmType_CORRUPT, true)
	if _, err := f.Range(context.Background(), get); !errors.Is(err, rpctypes.ErrGRPCCorrupt) {
		t.Errorf("range: %v", err)
	}
	if _, err := f.Txn(context.Background(), read); !errors.Is(err, rpctypes.ErrGRPCCorrupt) {
		t.Errorf("transaction of reads: %v", err)
	}
	if err := f.RangeStream(context.Background(), get, func(Listing) error { return nil }); !errors.Is(err, rpctypes.ErrGRPCCorrupt) {
		t.Errorf("stream: %v", err)
	}
}

func TestAlarmsAreKeptByMemberAndSurviveARestart(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	defer func() { f.close() }()
	f.alarm(9, pb.AlarmType_NOSPACE, true)
	f.alarm(3, pb.AlarmType_CORRUPT, true)
	if again := f.alarm(9, pb.AlarmType_NOSPACE, true); len(again) != 1 {
		t.Errorf("an alarm raised again is answered with %v", again)
	}
	if none := f.alarm(4, pb.AlarmType_NOSPACE, false); len(none) != 0 {
		t.Errorf("the end of no alarm is answered with %v", none)
	}
	if none := f.alarm(4, pb.AlarmType_NONE, true); len(none) != 0 {
		t.Errorf("no alarm at all is answered with %v", none)
	}
	f.close()
	f = open(t, fs)
	got := f.Alarms()
	if len(got) != 2 || got[0].MemberID != 3 || got[1].MemberID != 9 {
		t.Errorf("after a restart: %v", got)
	}
	if ended := f.alarm(3, pb.AlarmType_CORRUPT, false); len(ended) != 1 {
		t.Errorf("the end of an alarm is answered with %v", ended)
	}
	if got := f.Alarms(); len(got) != 1 || got[0].MemberID != 9 {
		t.Errorf("left: %v", got)
	}
}
