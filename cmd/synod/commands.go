package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

// loggedCommand is one line of `synod disk dump --json`.
type loggedCommand struct {
	Slot    paxos.Slot      `json:"slot"`
	Index   int             `json:"index"`             // among the commands of the slot, from 0
	Time    time.Time       `json:"time"`              // the proposer's
	Origin  string          `json:"origin"`            // the member that proposed it
	Number  uint64          `json:"number"`            // the origin's number for it
	Source  uint64          `json:"source"`            // the caller it is counted for
	User    string          `json:"user,omitempty"`    // on whose behalf, with authentication
	Kind    string          `json:"kind"`              // put, delete-range, txn, compaction, lease-grant, lease-revoke, user-add and so on, member or unknown
	Request json.RawMessage `json:"request,omitempty"` // etcd's message in protobuf's JSON form
	Bytes   []byte          `json:"bytes,omitempty"`   // of a command of unknown kind
}

// loggedGap is the line for a slot that is chosen, but not provably with the value that this disk has.
type loggedGap struct {
	Slot paxos.Slot `json:"slot"`
	Gap  string     `json:"gap"`
}

// dumpCommands prints the chosen log, one command a line.
func dumpCommands(w io.Writer, dir string) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	gaps := 0
	err := walkChosen(disk.OS(), dir, func(r *paxos.Record) error {
		return eachCommand(r, func(c loggedCommand) error { return lines.Encode(c) })
	}, func(slot paxos.Slot) error {
		gaps++
		return lines.Encode(loggedGap{slot, "chosen, but this disk does not prove with which value"})
	})
	if err == nil && gaps > 0 {
		err = fmt.Errorf("%d slots are chosen with a value that this disk does not prove; dump another member for them", gaps)
	}
	return err
}

// eachCommand calls fn with each command of a chosen record.
func eachCommand(r *paxos.Record, fn func(loggedCommand) error) error {
	index := 0
	var failed error
	err := r.Value.Commands(func(b []byte) {
		if failed != nil {
			return
		}
		c, err := describe(b)
		if err != nil {
			failed = fmt.Errorf("slot %d, command %d: %w", r.Slot, index, err)
			return
		}
		c.Slot, c.Index = r.Slot, index
		index++
		failed = fn(c)
	})
	if err != nil {
		return fmt.Errorf("slot %d: %w", r.Slot, err)
	}
	return failed
}

func describe(b []byte) (loggedCommand, error) {
	e, err := synod.DecodeEnvelope(b)
	if err != nil {
		return loggedCommand{}, err
	}
	c := loggedCommand{Time: time.Unix(0, e.Time).UTC(), Origin: hex(uint64(e.Origin)), Number: e.Number, Source: e.Source}
	kind, request, payload := requestOf(e.Data)
	c.Kind, c.User = kind, userOf(e.Data)
	if request == nil {
		c.Bytes = e.Data
		return c, nil
	}
	if err := proto.Unmarshal(payload, request); err != nil {
		return loggedCommand{}, fmt.Errorf("malformed %s: %w", kind, err)
	}
	c.Request, err = protojson.Marshal(request)
	return c, err
}

// requestOf tells what kind of command data is and which message its payload encodes; nil if this version does not know.
func requestOf(data []byte) (kind string, request proto.Message, payload []byte) {
	if len(data) >= 1 && data[0] == etcdapi.MachineMembers {
		return "member", new(pb.Member), data[1:]
	}
	if len(data) >= 2 && data[0] == etcdapi.MachineKV {
		_, command, err := kv.Admission(data[1:])
		if err != nil {
			return "unknown", nil, nil
		}
		for name, empty := range keyValueRequests {
			if encoded, err := kv.Encode(empty); err == nil && encoded[0] == command[0] { // an empty request is its kind alone
				return name, proto.Clone(empty), command[1:]
			}
		}
	}
	return "unknown", nil, nil
}

// userOf returns on whose behalf a command of the store is, "" if that is not said.
func userOf(data []byte) string {
	if len(data) == 0 || data[0] != etcdapi.MachineKV {
		return ""
	}
	caller, _, err := kv.Admission(data[1:])
	if err != nil {
		return ""
	}
	return caller.User
}

var keyValueRequests = map[string]proto.Message{
	"put":          &pb.PutRequest{},
	"delete-range": &pb.DeleteRangeRequest{},
	"txn":          &pb.TxnRequest{},
	"compaction":   &pb.CompactionRequest{},
	"lease-grant":  &pb.LeaseGrantRequest{},
	"lease-revoke": &pb.LeaseRevokeRequest{},

	"auth-enable": &pb.AuthEnableRequest{}, "auth-disable": &pb.AuthDisableRequest{},
	"user-add": &pb.AuthUserAddRequest{}, "user-delete": &pb.AuthUserDeleteRequest{}, "user-change-password": &pb.AuthUserChangePasswordRequest{},
	"user-grant-role": &pb.AuthUserGrantRoleRequest{}, "user-revoke-role": &pb.AuthUserRevokeRoleRequest{},
	"role-add": &pb.AuthRoleAddRequest{}, "role-delete": &pb.AuthRoleDeleteRequest{},
	"role-grant-permission": &pb.AuthRoleGrantPermissionRequest{}, "role-revoke-permission": &pb.AuthRoleRevokePermissionRequest{},
}
