package etcdapi

import (
	"bytes"
	"context"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ask sends an alarm request that succeeds and returns the alarms in its answer.
func (s *serving) alarm(t *testing.T, action pb.AlarmRequest_AlarmAction, member uint64, alarm pb.AlarmType) []*pb.AlarmMember {
	t.Helper()
	resp, err := pb.NewMaintenanceClient(s.conn).Alarm(t.Context(), &pb.AlarmRequest{Action: action, MemberID: member, Alarm: alarm})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.ClusterId != testCluster {
		t.Errorf("header: %v", resp.Header)
	}
	return resp.Alarms
}

func TestAStoreBeyondItsQuotaTakesNoMoreUntilThereIsRoomAndTheAlarmIsEnded(t *testing.T) {
	s := serve(t, func(c *Config) { c.QuotaBytes = 64 << 10 })
	value := bytes.Repeat([]byte("x"), 4<<10)
	put := func() error {
		_, err := s.kv().Put(t.Context(), &pb.PutRequest{Key: []byte("key"), Value: value})
		return err
	}
	var err error
	puts := 0
	for err = put(); err == nil; err = put() {
		puts++
	}
	if status.Convert(err).Message() != status.Convert(rpctypes.ErrGRPCNoSpace).Message() || status.Code(err) != codes.ResourceExhausted || puts < 10 {
		t.Fatalf("after %d puts: %v", puts, err)
	}
	if got := s.alarm(t, pb.AlarmRequest_GET, 0, pb.AlarmType_NONE); len(got) != 1 || got[0].Alarm != pb.AlarmType_NOSPACE || got[0].MemberID != uint64(testMember) {
		t.Errorf("alarms: %v", got)
	}
	if got := s.alarm(t, pb.AlarmRequest_GET, 0, pb.AlarmType_CORRUPT); len(got) != 0 {
		t.Errorf("alarms of corruption: %v", got)
	}
	answer := get(t, s.web, s.url+"/health")
	if answer.status != 503 || !strings.Contains(answer.body, "ALARM NOSPACE") {
		t.Errorf("health: %d %s", answer.status, answer.body)
	}
	if answer := get(t, s.web, s.url+"/health?exclude=NOSPACE"); answer.status != 200 {
		t.Errorf("health without it: %d %s", answer.status, answer.body)
	}
	resp, err := pb.NewMaintenanceClient(s.conn).Status(t.Context(), &pb.StatusRequest{})
	if err != nil || resp.DbSizeQuota != 64<<10 || len(resp.Errors) != 1 || !strings.Contains(resp.Errors[0], "alarm:NOSPACE") {
		t.Errorf("status: %v, %v", resp, err)
	}
	if _, err := s.kv().Compact(t.Context(), &pb.CompactionRequest{Revision: s.store.Revision(), Physical: true}); err != nil {
		t.Fatal(err)
	}
	if err := put(); err == nil {
		t.Error("there is room, but the alarm is not ended")
	}
	if got := s.alarm(t, pb.AlarmRequest_DEACTIVATE, uint64(testMember), pb.AlarmType_NOSPACE); len(got) != 1 {
		t.Errorf("ended: %v", got)
	}
	if err := put(); err != nil {
		t.Errorf("with room, and the alarm ended: %v", err)
	}
}

func TestOnlyWhoMayWriteRaisesTheAlarmAndAllAreToldThatThereIsNoSpace(t *testing.T) {
	s := serve(t, func(c *Config) { cheap(c); c.QuotaBytes = 64 << 10 })
	s.enable(t)
	large := &pb.PutRequest{Key: []byte("not-alices"), Value: make([]byte, 64<<10)}
	for _, ctx := range []context.Context{t.Context(), s.login(t, "alice")} {
		if err := s.call(ctx, large); !sameStatus(err, rpctypes.ErrGRPCNoSpace) {
			t.Errorf("a put that does not fit, by who may not make it: %v", err)
		}
	}
	if alarms := s.store.Alarms(); len(alarms) != 0 {
		t.Errorf("who may not write has raised %v", alarms)
	}
	large.Key = []byte("a")
	if err := s.call(s.login(t, "alice"), large); !sameStatus(err, rpctypes.ErrGRPCNoSpace) || len(s.store.Alarms()) != 1 {
		t.Errorf("by who may: %v, alarms %v", err, s.store.Alarms())
	}
}

func TestACorruptClusterIsNotReady(t *testing.T) {
	s := serve(t, nil)
	s.mustPut(t, "a", "1")
	s.alarm(t, pb.AlarmRequest_ACTIVATE, 7, pb.AlarmType_CORRUPT)
	if _, err := s.kv().Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}); status.Code(err) != codes.DataLoss {
		t.Errorf("range: %v", err)
	}
	if answer := get(t, s.web, s.url+"/readyz/data_corruption"); answer.status != 503 || !strings.Contains(answer.body, "alarm activated: CORRUPT") {
		t.Errorf("readyz: %d %s", answer.status, answer.body)
	}
	if answer := get(t, s.web, s.url+"/health"); answer.status != 503 || !strings.Contains(answer.body, "ALARM CORRUPT") {
		t.Errorf("health: %d %s", answer.status, answer.body)
	}
	s.alarm(t, pb.AlarmRequest_DEACTIVATE, 7, pb.AlarmType_CORRUPT)
	if answer := get(t, s.web, s.url+"/readyz"); answer.status != 200 {
		t.Errorf("readyz after: %d %s", answer.status, answer.body)
	}
}
