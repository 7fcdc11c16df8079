package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/e2e/history"
)

// logged is a line of `synod disk dump --json`.
type logged struct {
	Slot    uint64          `json:"slot"`
	Index   int             `json:"index"`
	Kind    string          `json:"kind"`
	Request json.RawMessage `json:"request"`
	Gap     string          `json:"gap"`

	line string
}

// chosenLog returns the requests that the members' disks prove to have been chosen, in order. What one disk cannot prove another one does; where
// several do, they must say the same. The members may be running; the last requests may be missing.
func chosenLog(t testing.TB, c *cluster) []logged {
	t.Helper()
	slots := map[uint64][]logged{}
	for _, m := range c.members {
		for slot, own := range dump(t, m) {
			if other, known := slots[slot]; known && !slices.EqualFunc(own, other, func(a, b logged) bool { return a.line == b.line }) {
				t.Errorf("%s has %v chosen in slot %d, a member before it %v", m.name, own, slot, other)
			}
			slots[slot] = own
		}
	}
	var chosen []logged
	for _, slot := range slices.Sorted(maps.Keys(slots)) { // a slot is missing if a no-op was chosen; or if no disk proves it, which the judge notices
		chosen = append(chosen, slots[slot]...)
	}
	return chosen
}

// dump returns what one member's disk proves, by slot.
func dump(t testing.TB, m *member) map[uint64][]logged {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(programs, "synod"), "disk", "dump", m.dir, "--json")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) && bytes.Contains(stderr.Bytes(), []byte("does not prove")) {
		err = nil // another disk does
	}
	if err != nil {
		t.Fatalf("dump of %s: %v\n%s", m.name, err, &stderr)
	}
	slots := map[uint64][]logged{}
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var l logged
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("dump of %s: %v in %s", m.name, err, lines.Bytes())
		}
		if l.line = lines.Text(); l.Gap == "" {
			slots[l.Slot] = append(slots[l.Slot], l)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return slots
}

// read decodes the request into etcd's message.
func (l *logged) read(into proto.Message) error {
	if err := protojson.Unmarshal(l.Request, into); err != nil {
		return fmt.Errorf("slot %d: %w", l.Slot, err)
	}
	return nil
}

// String is how a test shows it.
func (l logged) String() string { return l.line }

// commands are the log's requests as the witness knows them. It knows only those that the nemesis' clients make.
func commands(log []logged) ([]history.Command, error) {
	var all []history.Command
	for _, l := range log {
		c, err := l.command()
		switch {
		case err != nil:
			return nil, err
		case l.Kind != "member" && c.Key != proofKey:
			all = append(all, c)
		}
	}
	return all, nil
}

func (l *logged) command() (history.Command, error) {
	switch l.Kind {
	case "member":
		return history.Command{}, nil
	case "put":
		var r pb.PutRequest
		err := l.read(&r)
		return history.Command{Kind: history.Put, Key: string(r.Key), Value: string(r.Value)}, err
	case "delete-range":
		var r pb.DeleteRangeRequest
		err := l.read(&r)
		return history.Command{Kind: history.Delete, Key: string(r.Key)}, err
	case "txn":
		var r pb.TxnRequest
		if err := l.read(&r); err != nil {
			return history.Command{}, err
		}
		if len(r.Compare) != 1 || len(r.Success) != 1 || r.Success[0].GetRequestPut() == nil {
			return history.Command{}, fmt.Errorf("slot %d: no client has made this transaction: %s", l.Slot, l.Request)
		}
		put := r.Success[0].GetRequestPut()
		return history.Command{Kind: history.Swap, Key: string(put.Key), Value: string(put.Value), Expect: r.Compare[0].GetModRevision()}, nil
	}
	return history.Command{}, fmt.Errorf("slot %d: no client has made a request of kind %s", l.Slot, l.Kind)
}
