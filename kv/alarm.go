package kv

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// alarms are the alarms that are raised, by member and then by type. They are part of the replicated state, so that what they forbid fails on every replica or on
// none. A value is immutable.
type alarms []*pb.AlarmMember

var alarmsKey = append([]byte{spaceMeta}, "alarms"...)

func (a alarms) find(m *pb.AlarmMember) (at int, raised bool) {
	return slices.BinarySearchFunc(a, m, func(x, y *pb.AlarmMember) int {
		return cmp.Or(cmp.Compare(x.MemberID, y.MemberID), cmp.Compare(x.Alarm, y.Alarm))
	})
}

// raised reports whether any member has raised an alarm of a type.
func (a alarms) raised(t pb.AlarmType) bool {
	return slices.ContainsFunc(a, func(m *pb.AlarmMember) bool { return m.Alarm == t })
}

// refuse says why a request may not be served while these alarms are raised: with too little space nothing may grow, in a corrupt cluster nothing be read or written.
func (a alarms) refuse(req proto.Message) error {
	switch {
	case len(a) == 0:
		return nil
	case a.raised(pb.AlarmType_CORRUPT):
		switch req.(type) {
		case *pb.RangeRequest, *pb.PutRequest, *pb.DeleteRangeRequest, *pb.TxnRequest, *pb.CompactionRequest, *pb.LeaseGrantRequest, *pb.LeaseRevokeRequest:
			return rpctypes.ErrGRPCCorrupt
		}
	case a.raised(pb.AlarmType_NOSPACE) && Cost(req) > 0:
		return rpctypes.ErrGRPCNoSpace
	}
	return nil
}

// Cost estimates how many bytes a request adds to the store, as etcd does for its quota: 0 if it adds none.
func Cost(req proto.Message) int64 {
	switch r := req.(type) {
	case *pb.PutRequest:
		return keyCost + int64(len(r.Key)+len(r.Value))
	case *pb.LeaseGrantRequest:
		return leaseCost
	case *pb.TxnRequest:
		return max(branchCost(r.Success), branchCost(r.Failure))
	}
	return 0
}

const (
	keyCost   = 256 // of a key beside its bytes
	leaseCost = 64
)

func branchCost(ops []*pb.RequestOp) (sum int64) {
	for _, op := range ops {
		if r := op.GetRequestPut(); r != nil {
			sum += Cost(r)
		} else if r := op.GetRequestTxn(); r != nil {
			sum += Cost(r)
		}
	}
	return sum
}

// alarmChange raises or ends an alarm. It is upkeep, and not a client's request: who may ask for it is the API's to know.
type alarmChange struct {
	alarm *pb.AlarmMember
	raise bool
}

// EncodeAlarm makes the command that raises an alarm of a member, or ends one. Its Result has an AlarmResponse that names the alarm, or none if it was not
// there to be ended.
func EncodeAlarm(alarm *pb.AlarmMember, raise bool) []byte {
	return alarmChange{alarm, raise}.encode()
}

// encode: 1 to raise or 0, uvarint member, uvarint type.
func (c alarmChange) encode() []byte {
	b := []byte{byte(kindAlarm), 0}
	if c.raise {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, c.alarm.MemberID)
	return binary.AppendUvarint(b, uint64(c.alarm.Alarm))
}

func parseAlarmChange(p *parser) alarmChange {
	raise := p.byte() == 1
	member, t := p.uvarint(), p.uvarint()
	p.failed = p.failed || t > uint64(maxAlarmType)
	return alarmChange{&pb.AlarmMember{MemberID: member, Alarm: pb.AlarmType(t)}, raise}
}

const maxAlarmType = pb.AlarmType_CORRUPT

func (c alarmChange) run(w *writer) (Result, error) {
	resp := &pb.AlarmResponse{Header: &pb.ResponseHeader{Revision: w.revision}}
	at, there := w.alarms.find(c.alarm)
	if c.alarm.Alarm == pb.AlarmType_NONE || !c.raise && !there {
		return Result{Response: resp}, nil
	}
	resp.Alarms = []*pb.AlarmMember{c.alarm}
	switch {
	case c.raise && !there:
		w.alarms = slices.Insert(slices.Clone(w.alarms), at, c.alarm)
	case !c.raise:
		w.alarms = slices.Delete(slices.Clone(w.alarms), at, at+1)
	default:
		return Result{Response: resp}, nil
	}
	value, err := proto.Marshal(&pb.AlarmResponse{Alarms: w.alarms})
	if err != nil {
		return Result{}, err
	}
	w.digestRow(alarmsKey, value)
	return Result{Response: resp}, w.batch.Set(alarmsKey, value, nil)
}

// Alarms returns the alarms that are raised, as far as this replica knows, by member and type. They must not be changed.
func (s *Store) Alarms() []*pb.AlarmMember {
	if p := s.current.Load(); p != nil {
		return p.alarms
	}
	return nil
}

func loadAlarms(r pebble.Reader) (alarms, error) {
	value, err := get(r, alarmsKey)
	if err != nil {
		return nil, err
	}
	var stored pb.AlarmResponse
	if err := proto.Unmarshal(value, &stored); err != nil {
		return nil, fmt.Errorf("kv: row of alarms: %w", errCorrupt)
	}
	return stored.Alarms, nil
}
