package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"synod.dev/synod/disk"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/kv"
	"synod.dev/synod/kv/rbac"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

const testNode paxos.NodeID = 0xa

// envelope is the log's form of one command (see synod.Envelope).
func envelope(data []byte) []byte {
	b := []byte{1}
	for _, v := range []uint64{0xa, 5, 1_000_000_000, 9} { // origin, number, time, source
		b = binary.AppendUvarint(b, v)
	}
	return append(b, data...)
}

func putCommand(t *testing.T, key string) []byte {
	t.Helper()
	command, err := kv.Encode(&pb.PutRequest{Key: []byte(key)})
	if err != nil {
		t.Fatal(err)
	}
	return envelope(append([]byte{etcdapi.MachineKV}, command...))
}

func putValue(t *testing.T, keys ...string) paxos.Value {
	var v paxos.Value
	for _, key := range keys {
		v = paxos.AppendCommand(v, putCommand(t, key))
	}
	return v
}

func ballotOf(round uint64, node paxos.NodeID) paxos.Ballot {
	return paxos.Ballot{Round: round, Node: node, Boot: 1}
}

func accept(slot paxos.Slot, ballot paxos.Ballot, chosen paxos.Slot, value paxos.Value) *paxos.Record {
	return &paxos.Record{Kind: paxos.RecordAccept, Slot: slot, Ballot: ballot, Chosen: chosen, Value: value}
}

// writeLog makes a log in dir that holds the records, one batch each.
func writeLog(t *testing.T, dir string, records ...*paxos.Record) {
	t.Helper()
	log, err := wal.Open(disk.OS(), dir, wal.Options{Cluster: 0xc, Node: testNode, Incarnation: 1, SegmentBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := log.Append([]*paxos.Record{r}); err != nil {
			t.Fatal(err)
		}
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOnlyWhatTheDiskProvesIsChosen: a vote is not a choice. Each case is a log and what may be concluded from it: the value of each
// slot, or "gap".
func TestOnlyWhatTheDiskProvesIsChosen(t *testing.T) {
	b1, b2, b3 := ballotOf(1, 0xb), ballotOf(2, 0xc), ballotOf(3, testNode)
	value := func(name string) paxos.Value { return paxos.AppendCommand(nil, []byte(name)) }
	learned := func(slot paxos.Slot, name string) *paxos.Record {
		return &paxos.Record{Kind: paxos.RecordChosen, Slot: slot, Value: value(name)}
	}
	for _, test := range []struct {
		name string
		log  []*paxos.Record
		want string
	}{
		{"nothing", nil, ""},
		{"votes alone prove nothing", []*paxos.Record{accept(1, b1, 0, value("a")), accept(2, b1, 0, value("b"))}, ""},
		{"the leader's prefix proves votes of its ballot", []*paxos.Record{accept(1, b1, 0, value("a")), accept(2, b1, 1, value("b"))}, "1=a"},
		{"an announcement that came before the vote counts", []*paxos.Record{accept(2, b1, 1, value("b")), accept(1, b1, 0, value("a"))}, "1=a"},
		{"another ballot's word does not prove a vote", []*paxos.Record{accept(1, b1, 0, value("a")), accept(2, b2, 1, value("b"))}, "1=gap"},
		{"a later vote at the leader's ballot does", []*paxos.Record{accept(1, b1, 0, value("x")), accept(1, b2, 0, value("a")), accept(2, b2, 1, value("b"))}, "1=a"},
		{"what was learned is proven", []*paxos.Record{accept(1, b1, 0, value("x")), learned(1, "a")}, "1=a"},
		{"learned late, out of order", []*paxos.Record{learned(3, "c"), learned(2, "b"), learned(1, "a")}, "1=a 2=b 3=c"},
		{"missing slots are gaps", []*paxos.Record{learned(3, "c")}, "1=gap 2=gap 3=c"},
		{"a leader takes its own word", []*paxos.Record{accept(1, b1, 0, value("a")), accept(2, b3, 1, value("b"))}, "1=a"},
		{"about the last record it then had", []*paxos.Record{
			accept(1, b1, 0, value("x")), accept(1, b2, 0, value("a")), accept(2, b3, 1, value("b")), accept(1, b1, 0, value("y"))}, "1=a"},
		{"a no-op is chosen like any other", []*paxos.Record{accept(1, b1, 0, nil), accept(2, b1, 1, value("b"))}, "1="},
		{"a promise keeps what this member knew", []*paxos.Record{accept(1, b1, 0, value("a")), {Kind: paxos.RecordPromise, Ballot: b2, Chosen: 1}, accept(1, b3, 0, value("y"))}, "1=a"},
		{"promises alone prove nothing", []*paxos.Record{{Kind: paxos.RecordPromise, Ballot: b2}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			writeLog(t, dir, test.log...)
			var got []string
			err := walkChosen(disk.OS(), dir, func(r *paxos.Record) error {
				text := fmt.Sprintf("%d=", r.Slot)
				if err := r.Value.Commands(func(c []byte) { text += string(c) }); err != nil {
					return err
				}
				got = append(got, text)
				return nil
			}, func(slot paxos.Slot) error {
				got = append(got, fmt.Sprintf("%d=gap", slot))
				return nil
			})
			if err != nil || strings.Join(got, " ") != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// A damaged record has no value, which must not be taken for a no-op.
func TestAChosenRecordThatIsDamagedIsAGap(t *testing.T) {
	dir := t.TempDir()
	b := ballotOf(1, 0xb)
	writeLog(t, dir, accept(1, b, 0, putValue(t, "damaged")), accept(2, b, 1, putValue(t, "sound")), accept(3, b, 2, nil))
	damage(t, dir, "damaged")
	var stdout, stderr bytes.Buffer
	if code := run([]string{"synod", "disk", "dump", dir, "--json"}, &stdout, &stderr); code != exitFailure {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"slot":1,"gap"`) || !strings.Contains(lines[1], `"slot":2,"index":0`) {
		t.Errorf("%s", &stdout)
	}
	stdout.Reset()
	if code := run([]string{"synod", "disk", "dump", dir}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "corrupt") {
		t.Errorf("exit code %d: %s", code, &stdout)
	}
}

// damage changes one byte of text where it stands in a file of dir.
func damage(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %q, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte(text))
	if at < 0 {
		t.Fatalf("%q is not in %s", text, files[0])
	}
	content[at] ^= 1
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDumpPrintsTheCommandsInOrder(t *testing.T) {
	dir := t.TempDir()
	member, err := proto.Marshal(&pb.Member{ID: 7, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b := ballotOf(1, 0xb)
	other := paxos.AppendCommand(nil, envelope(append([]byte{etcdapi.MachineMembers}, member...)))
	other = paxos.AppendCommand(other, envelope([]byte{99, 1}))
	writeLog(t, filepath.Join(dir, "log"), accept(1, b, 0, putValue(t, "k1", "k2")), accept(2, b, 1, other), accept(3, b, 2, nil), accept(4, b, 3, putValue(t, "k3")))

	var stdout, stderr bytes.Buffer
	if code := run([]string{"synod", "disk", "dump", dir, "--json"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	want := []string{
		`{"slot":1,"index":0,"time":"1970-01-01T00:00:01Z","origin":"a","number":5,"source":9,"kind":"put","request":{"key":"azE="}}`,
		`{"slot":1,"index":1,"time":"1970-01-01T00:00:01Z","origin":"a","number":5,"source":9,"kind":"put","request":{"key":"azI="}}`,
		`{"slot":2,"index":0,"time":"1970-01-01T00:00:01Z","origin":"a","number":5,"source":9,"kind":"member","request":{"ID":"7","name":"a"}}`,
		`{"slot":2,"index":1,"time":"1970-01-01T00:00:01Z","origin":"a","number":5,"source":9,"kind":"unknown","bytes":"YwE="}`,
	}
	if got := strings.Split(strings.TrimSpace(stdout.String()), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestTheDumpNamesEveryKindOfRequest(t *testing.T) {
	requests := map[string]proto.Message{
		"put": &pb.PutRequest{Lease: 7}, "delete-range": &pb.DeleteRangeRequest{Key: []byte("k")}, "txn": &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("k")}}},
		"compaction": &pb.CompactionRequest{Revision: 7}, "lease-grant": &pb.LeaseGrantRequest{ID: 7, TTL: 60}, "lease-revoke": &pb.LeaseRevokeRequest{ID: 7},
		"user-add": &pb.AuthUserAddRequest{Name: "u"}, "role-grant-permission": &pb.AuthRoleGrantPermissionRequest{Name: "r"}, "auth-enable": &pb.AuthEnableRequest{},
	}
	for name, want := range requests {
		command, err := kv.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		admitted := kv.Admitted(rbac.Caller{User: "alice", Revision: 7}, command)
		kind, got, payload := requestOf(append([]byte{etcdapi.MachineKV}, admitted...))
		if user := userOf(append([]byte{etcdapi.MachineKV}, admitted...)); user != "alice" {
			t.Errorf("a %T is said to be of %q", want, user)
		}
		if kind != name {
			t.Errorf("a %T is called %q, want %q", want, kind, name)
			continue
		}
		if err := proto.Unmarshal(payload, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v is read as %v, %v", name, want, got, err)
		}
	}
}

func TestAGapFailsTheDumpOfCommands(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, &paxos.Record{Kind: paxos.RecordChosen, Slot: 2, Value: putValue(t, "k")})
	var stdout, stderr bytes.Buffer
	if code := run([]string{"synod", "disk", "dump", dir, "--json"}, &stdout, &stderr); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	var gap loggedGap
	if err := json.Unmarshal(bytes.SplitN(stdout.Bytes(), []byte("\n"), 2)[0], &gap); err != nil || gap.Slot != 1 || gap.Gap == "" {
		t.Errorf("%+v, %v", gap, err)
	}
	if !strings.Contains(stderr.String(), "dump another member") {
		t.Errorf("%q", &stderr)
	}
}

func TestDumpShowsEveryRecordAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	b := ballotOf(4, 0xb)
	writeLog(t, filepath.Join(dir, "log"), &paxos.Record{Kind: paxos.RecordPromise, Ballot: b}, accept(1, b, 0, putValue(t, "k")))
	before := contents(t, dir)
	var stdout, stderr bytes.Buffer
	if code := run([]string{"synod", "disk", "dump", dir}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%s", &stdout)
	}
	for i, want := range []string{"cluster c  node a  incarnation 1  boot 1  promised 4.b.1", "LSN", "promise", "accept"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, without %q", i, lines[i], want)
		}
	}
	if !strings.HasSuffix(lines[3], "sound") {
		t.Errorf("%q", lines[3])
	}
	if after := contents(t, dir); after != before {
		t.Error("the directory has changed")
	}
}

// contents is everything under dir.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	if err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %d %q\n", path, len(content), bytes.TrimRight(content, "\x00"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDumpRefusesWhatIsNoMembersDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dir, want string
	}{
		{filepath.Join(t.TempDir(), "missing"), "does not exist"},
		{file, "is no directory"},
		{t.TempDir(), "holds no log"},
	} {
		for _, flags := range [][]string{nil, {"--json"}} {
			var stdout, stderr bytes.Buffer
			code := run(append([]string{"synod", "disk", "dump", test.dir}, flags...), &stdout, &stderr)
			if code != exitFailure || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("%s %v: exit code %d, %q", test.dir, flags, code, &stderr)
			}
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"synod", "disk", "dump"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("without a directory: exit code %d, %q", code, &stderr)
	}
}
