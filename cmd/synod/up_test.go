package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// upReady starts `synod up` and waits until its cluster serves.
func upReady(t *testing.T, args ...string) (p *process, endpoints []string, dir string) {
	t.Helper()
	p = begin(t, "", "synod", append([]string{"up"}, args...)...)
	p.await("Ctrl-C stops the cluster")
	endpoints = strings.Split(strings.Fields(p.await("  endpoints  "))[1], ",")
	return p, endpoints, strings.Fields(p.await("  data  "))[1]
}

// processIDs returns the IDs of the member processes, in the order in which they were started.
func (p *process) processIDs() []int {
	p.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		p.t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has just ended
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[1] == strconv.Itoa(p.command.Process.Pid) && fields[0] != "Z" {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// lifelines opens a stream to every endpoint that ends only with the process behind it.
func lifelines(t *testing.T, endpoints []string) []healthpb.Health_WatchClient {
	t.Helper()
	var lines []healthpb.Health_WatchClient
	for _, e := range endpoints {
		lines = append(lines, underWay(t, e))
	}
	return lines
}

// awaitEnd waits until the process at the other end of line is gone.
func awaitEnd(t *testing.T, line healthpb.Health_WatchClient) {
	t.Helper()
	for {
		if _, err := line.Recv(); status.Code(err) == codes.DeadlineExceeded {
			t.Fatal("a member is still there")
		} else if err != nil {
			return
		}
	}
}

func TestUpRunsAClusterAndLeavesNothingBehind(t *testing.T) {
	p, endpoints, dir := upReady(t)
	if len(endpoints) != 3 {
		t.Fatalf("endpoints %q", endpoints)
	}
	put(t, endpoints[0], "hello", "world")
	for _, e := range endpoints {
		if got := get(t, e, "hello"); got != "world" {
			t.Errorf("hello is %q on %s", got, e)
		}
	}
	p.await("etcdctl --endpoints=" + strings.Join(endpoints, ",") + " put hello world")
	if pids := p.processIDs(); len(pids) != 3 {
		t.Errorf("processes %v", pids)
	}
	lines := lifelines(t, endpoints)
	p.signal(syscall.SIGINT)
	p.exitsWith(0)
	for _, line := range lines {
		awaitEnd(t, line)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

func TestUpWithADataDirectoryStartsTheSameClusterAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	first, before, _ := upReady(t, "--nodes=1", "--data-dir="+dir)
	put(t, before[0], "hello", "world")
	first.stops()

	second, after, _ := upReady(t, "--data-dir="+dir)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("endpoints were %v and are %v", before, after)
	}
	if got := get(t, after[0], "hello"); got != "world" {
		t.Errorf("hello is %q after the restart", got)
	}
	second.stops()

	for _, contradiction := range []string{"--nodes=3", "--client-port-base=1"} {
		third := begin(t, "", "synod", "up", "--data-dir="+dir, contradiction)
		third.exitsWith(exitUsage)
		if !strings.Contains(third.lastLine(), "contradicts the cluster") {
			t.Errorf("%s: it does not say why", contradiction)
		}
	}
}

func TestUpKeepsTheTemporaryDirectoryWhenAsked(t *testing.T) {
	p, _, dir := upReady(t, "--nodes=1", "--keep")
	p.stops()
	if _, err := os.Stat(filepath.Join(dir, "m1.log")); err != nil {
		t.Error(err)
	}
}

func TestUpReportsAMemberThatDiesAndGoesOn(t *testing.T) {
	p, endpoints, _ := upReady(t)
	pids := p.processIDs()
	if len(pids) != 3 {
		t.Fatalf("processes %v", pids)
	}
	if err := syscall.Kill(pids[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.await("m2 has stopped and is not started again: signal: killed")
	client, ctx := pb.NewKVClient(dial(t, endpoints[0])), patient(t)
	for acknowledged := false; !acknowledged; { // what was handed to a leader that died has an unknown outcome
		_, err := client.Put(ctx, &pb.PutRequest{Key: []byte("a"), Value: []byte("b")})
		if ctx.Err() != nil {
			t.Fatalf("the other two do not go on: %v", err)
		}
		acknowledged = err == nil
	}
	p.stops()
}

func TestUpEndsWhenItsLastMemberHasDied(t *testing.T) {
	p, _, _ := upReady(t, "--nodes=1")
	if err := syscall.Kill(p.processIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.exitsWith(exitFailure)
	if p.lastLine() != "synod: all members have stopped" {
		t.Error("it does not say why")
	}
}

// A member alone has nothing to say, so it would not even notice that nobody reads its log any more.
func TestNoMemberOutlivesItsParent(t *testing.T) {
	p, endpoints, _ := upReady(t, "--nodes=1")
	lines := lifelines(t, endpoints)
	p.signal(syscall.SIGKILL)
	for _, line := range lines {
		awaitEnd(t, line)
	}
}

func TestUpStopsEverythingWhenAMemberCannotStart(t *testing.T) {
	dir := t.TempDir()
	s, err := newShape(3, 0)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", s.Members[1].Client)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := s.save(dir); err != nil {
		t.Fatal(err)
	}
	p := begin(t, "", "synod", "up", "--data-dir="+dir)
	p.exitsWith(exitFailure)
	if !strings.Contains(p.lastLine(), "m2 could not start") || !strings.Contains(p.lastLine(), "the address is in use") {
		t.Error("it does not say why")
	}
	for _, i := range []int{0, 2} {
		l, err := net.Listen("tcp", s.Members[i].Client) // so it is free
		if err != nil {
			t.Errorf("%s still runs: %v", s.Members[i].Name, err)
			continue
		}
		l.Close()
	}
}

func TestUpStopsWhileItStarts(t *testing.T) {
	p := begin(t, "", "synod", "up")
	p.await("starting 3 members")
	p.signal(syscall.SIGTERM)
	p.exitsWith(0)
}

func TestMembersWriteTheirLogsToFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	p, _, _ := upReady(t, "--nodes=1", "--data-dir="+dir)
	p.stops()
	log, err := os.Open(filepath.Join(dir, "m1.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ready := false
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var entry struct{ Msg string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
		ready = ready || entry.Msg == readyLine
	}
	if !ready {
		t.Error("the log does not say that the member became ready")
	}
	if strings.Contains(p.output(), readyLine) {
		t.Error("what is no warning belongs into the file alone")
	}
}

func TestADamagedShapeIsRefused(t *testing.T) {
	for _, content := range []string{"", "{", "{}", `{"token":"t"}`, `{"token":"","members":[{"name":"m1"}]}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, shapeFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := loadShape(dir); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestPortsFollowTheBase(t *testing.T) {
	s, err := newShape(2, 2379)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.endpoints(); got != "127.0.0.1:2379,127.0.0.1:2381" {
		t.Errorf("clients on %s", got)
	}
	if got := s.initialCluster(); got != "m1=http://127.0.0.1:2380,m2=http://127.0.0.1:2382" {
		t.Errorf("peers on %s", got)
	}
}
