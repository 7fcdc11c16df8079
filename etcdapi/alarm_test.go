package etcdapi

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
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

// TestOneOfManyWritesRaisesTheAlarm has a write find the store full while another raises the alarm.
func TestOneOfManyWritesRaisesTheAlarm(t *testing.T) {
	var log logBook
	s := serve(t, func(c *Config) { c.QuotaBytes = 64 << 10; c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	put := func(ctx context.Context) error {
		return s.call(ctx, &pb.PutRequest{Key: []byte("key"), Value: make([]byte, 64<<10)})
	}
	entered, release := s.hold()
	first := make(chan error, 1)
	go func() { first <- put(t.Context()) }()
	<-entered
	soon, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := put(soon); !sameStatus(err, rpctypes.ErrGRPCNoSpace) {
		t.Errorf("the second write waits for the first: %v", err)
	}
	release()
	if err := <-first; !sameStatus(err, rpctypes.ErrGRPCNoSpace) || len(s.store.Alarms()) != 1 {
		t.Errorf("the first write: %v, alarms %v", err, s.store.Alarms())
	}
	if said := log.take(); strings.Count(said, "an alarm has been raised") != 1 {
		t.Errorf("the log says\n%s", said)
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

func TestAnAlarmIsToldBeforeItsCallerIsJudgedButNotToWhoseTokenIsNone(t *testing.T) {
	s := serve(t, cheap)
	s.alarm(t, pb.AlarmRequest_ACTIVATE, 7, pb.AlarmType_CORRUPT)
	s.enable(t)
	nobody, alice, forged := t.Context(), s.login(t, "alice"), metadata.AppendToOutgoingContext(t.Context(), "token", "none")
	put, grant, revoke := &pb.PutRequest{Key: []byte("not-alices")}, &pb.LeaseGrantRequest{ID: 5, TTL: 60}, &pb.LeaseRevokeRequest{ID: 5}
	for _, c := range []struct {
		name   string
		caller context.Context
		req    proto.Message
		want   error
	}{
		{"a put by nobody", nobody, put, rpctypes.ErrGRPCCorrupt},
		{"a put by who may not", alice, put, rpctypes.ErrGRPCCorrupt},
		{"a put with a token that is none", forged, put, rpctypes.ErrGRPCInvalidAuthToken},
		{"a lease for nobody", nobody, grant, rpctypes.ErrGRPCUserEmpty},
		{"a lease for who has logged in", alice, grant, rpctypes.ErrGRPCCorrupt},
		{"a lease's end for nobody", nobody, revoke, rpctypes.ErrGRPCUserEmpty},
		{"a lease's end for who has logged in", alice, revoke, rpctypes.ErrGRPCCorrupt},
		{"a read by nobody", nobody, &pb.RangeRequest{Key: []byte("a")}, rpctypes.ErrGRPCUserEmpty},
	} {
		if err := s.call(c.caller, c.req); !sameStatus(err, c.want) {
			t.Errorf("%s: %v, not %v", c.name, err, c.want)
		}
	}
}

func TestAStatusTellsOfAlarmsInEtcdsForm(t *testing.T) {
	s := serve(t, nil)
	s.alarm(t, pb.AlarmRequest_ACTIVATE, 0, pb.AlarmType_CORRUPT)
	s.alarm(t, pb.AlarmRequest_ACTIVATE, 7, pb.AlarmType_NOSPACE)
	resp, err := pb.NewMaintenanceClient(s.conn).Status(t.Context(), &pb.StatusRequest{})
	if want := []string{"alarm:CORRUPT", "memberID:7 alarm:NOSPACE"}; err != nil || !slices.Equal(resp.Errors, want) {
		t.Errorf("%q, %v; want %q", resp.GetErrors(), err, want)
	}
}
