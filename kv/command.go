package kv

import (
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// kind is the first byte of a command. The numbers are part of the log's format, and a kind never changes its meaning: a request
// that is to be executed differently becomes a new kind, so that an old replica stops at it and does not diverge.
type kind byte

const (
	kindPut         kind = 1
	kindDeleteRange kind = 2
	kindTxn         kind = 3
	kindCompaction  kind = 4

	kindLeaseGrant   kind = 5
	kindLeaseRevoke  kind = 6
	kindLeaseRenewal kind = 7 // this and the next two: see upkeep
	kindLeaseExpiry  kind = 8
	kindLeaseClock   kind = 9
	kindAlarm        kind = 10 // upkeep, too
	kindHistoryTrim  kind = 11 // upkeep, too
)

// Encode makes the command that executes req, a *PutRequest, *DeleteRangeRequest, *TxnRequest, *CompactionRequest, *LeaseGrantRequest or
// *LeaseRevokeRequest of etcd's API, or one that changes users or roles, as the client sent it, but for a password, in whose place its hash must stand, and a lease's
// ID and TTL, which the API fills in. It does not validate: see ValidatePut and its like.
func Encode(req proto.Message) ([]byte, error) {
	var k kind
	switch req.(type) {
	case *pb.PutRequest:
		k = kindPut
	case *pb.DeleteRangeRequest:
		k = kindDeleteRange
	case *pb.TxnRequest:
		k = kindTxn
	case *pb.CompactionRequest:
		k = kindCompaction
	case *pb.LeaseGrantRequest:
		k = kindLeaseGrant
	case *pb.LeaseRevokeRequest:
		k = kindLeaseRevoke
	default:
		c := authChangeOf(req)
		if c == nil {
			return nil, fmt.Errorf("kv: %T is not a command; propose a request that writes", req)
		}
		k = c.kind
	}
	if err := refusePassword(req); err != nil {
		return nil, err
	}
	command := make([]byte, 1, 1+proto.Size(req))
	command[0] = byte(k)
	command, err := proto.MarshalOptions{}.MarshalAppend(command, req)
	if err != nil {
		return nil, fmt.Errorf("kv: encode %T: %w", req, err)
	}
	return command, nil
}

var (
	errUnknownKind = errors.New("the log holds a command of a newer version; upgrade this member")
	errMalformed   = errors.New("the log holds a malformed command; replace this member or its log")
)

// decode is the inverse of Encode, for commands that are not upkeep. The request does not alias command.
func decode(command []byte) (proto.Message, error) {
	if len(command) == 0 {
		return nil, errMalformed
	}
	var req proto.Message
	switch kind(command[0]) {
	case kindPut:
		req = new(pb.PutRequest)
	case kindDeleteRange:
		req = new(pb.DeleteRangeRequest)
	case kindTxn:
		req = new(pb.TxnRequest)
	case kindCompaction:
		req = new(pb.CompactionRequest)
	case kindLeaseGrant:
		req = new(pb.LeaseGrantRequest)
	case kindLeaseRevoke:
		req = new(pb.LeaseRevokeRequest)
	default:
		c := authChangeWhere(func(c *authChange) bool { return c.kind == kind(command[0]) })
		if c == nil {
			return nil, fmt.Errorf("command kind %d: %w", command[0], errUnknownKind)
		}
		req = c.fresh()
	}
	if err := proto.Unmarshal(command[1:], req); err != nil {
		return nil, fmt.Errorf("command kind %d: %v: %w", command[0], err, errMalformed)
	}
	return req, nil
}

// Result is what a command came to. Of a client's command Response or Err is set.
type Result struct {
	// Response is the etcd response that goes with the request, its header holding nothing but the revision.
	Response proto.Message
	// Renewed is, for a command of EncodeLeaseRenewal, the TTL of each lease in seconds, 0 if it does not exist.
	Renewed []int64
	// Err is one of the values of rpctypes, with etcd's text and code; the command has then changed nothing. Once the
	// store has failed it is rpctypes.ErrGRPCTimeoutDueToLeaderFail, and what became of the command is for the other replicas to say.
	Err error
}
