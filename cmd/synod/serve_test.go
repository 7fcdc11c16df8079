package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"synod.dev/synod/internal/freeport"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// alone is a cluster of one, ready to be started.
type alone struct {
	dir, client, peer string
}

func newAlone(t *testing.T) alone {
	t.Helper()
	addresses, err := freeport.Take(2)
	if err != nil {
		t.Fatal(err)
	}
	return alone{dir: filepath.Join(t.TempDir(), "member"), client: addresses[0], peer: addresses[1]}
}

func (a alone) args(more ...string) []string {
	return append([]string{"--name=a", "--data-dir=" + a.dir,
		"--listen-client-urls=http://" + a.client, "--advertise-client-urls=http://" + a.client,
		"--listen-peer-urls=http://" + a.peer, "--initial-advertise-peer-urls=http://" + a.peer}, more...)
}

func (a alone) serve(t *testing.T, more ...string) *process {
	t.Helper()
	return begin(t, "", "synod", append([]string{"serve"}, a.args(more...)...)...)
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, address, key, value string) {
	t.Helper()
	if _, err := pb.NewKVClient(dial(t, address)).Put(patient(t), &pb.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
		t.Fatalf("put on %s: %v", address, err)
	}
}

func get(t *testing.T, address, key string) string {
	t.Helper()
	r, err := pb.NewKVClient(dial(t, address)).Range(patient(t), &pb.RangeRequest{Key: []byte(key)}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("get on %s: %v", address, err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

func TestAMemberServesStopsAndServesAgainWhatItHad(t *testing.T) {
	a := newAlone(t)
	first := a.serve(t)
	first.await(readyLine)
	put(t, a.client, "hello", "world")
	first.stops()

	second := a.serve(t)
	second.await(readyLine)
	if got := get(t, a.client, "hello"); got != "world" {
		t.Errorf("after the restart hello is %q", got)
	}
	second.signal(syscall.SIGINT)
	second.exitsWith(0)
}

func TestEveryLogLineHasTheKeysOfEtcds(t *testing.T) {
	a := newAlone(t)
	p := a.serve(t, "--log-level=debug")
	p.await(readyLine)
	r, err := http.NewRequestWithContext(patient(t), http.MethodPost, "http://"+a.client+"/v3/watch", strings.NewReader("no JSON"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		if resp, err := http.DefaultClient.Do(r.WithContext(ctx)); err == nil { // gRPC's gateway has something to say about it
			resp.Body.Close()
		}
	})
	p.await("gRPC says")
	cancel()
	watch.Wait()
	p.stops()
	for line := range strings.Lines(p.output()) {
		var entry struct{ Level, TS, Caller, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if entry.Level == "" || entry.TS == "" || entry.Caller == "" || entry.Msg == "" {
			t.Errorf("%q lacks a key", line)
		}
	}
}

func TestTheLogGoesWhereItIsToldTo(t *testing.T) {
	a := newAlone(t)
	file := filepath.Join(t.TempDir(), "log")
	p := a.serve(t, "--log-outputs=stderr,"+file, "--log-format=console")
	p.await(readyLine)
	p.stops()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(content)) != p.output() {
		t.Errorf("the file has %q", content)
	}
}

func TestASecondSignalEndsAMemberAtOnce(t *testing.T) {
	a := newAlone(t)
	p := a.serve(t)
	p.await(readyLine)
	underWay(t, a.client)
	p.signal(syscall.SIGTERM)
	p.await("stopping: no new requests")
	p.signal(syscall.SIGTERM)
	p.exitsWith(exitFailure)
	if !strings.Contains(p.output(), "stopped at once by a second signal") {
		t.Error("it does not say so")
	}
}

func TestARequestThatNeverEndsDoesNotKeepAMemberFromStopping(t *testing.T) {
	a := newAlone(t)
	p := a.serve(t)
	p.await(readyLine)
	underWay(t, a.client)
	p.stops()
}

// underWay opens a request that the server has begun to answer and that does not end by itself.
func underWay(t *testing.T, address string) healthpb.Health_WatchClient {
	t.Helper()
	watch, err := healthpb.NewHealthClient(dial(t, address)).Watch(patient(t), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	return watch
}

func TestUnderTheNameEtcdItIsEtcd(t *testing.T) {
	version := begin(t, "", "etcd", "--version")
	version.exitsWith(0)
	lines := strings.Split(version.output(), "\n")
	for i, want := range []string{"etcd Version: 3.7.3", "Git SHA: ", "Go Version: go", "Go OS/Arch: "} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is not %q…: %q", i, want, lines)
		}
	}

	a := newAlone(t)
	dir := t.TempDir()
	args := a.args()
	args[0], args[1] = "-name=a", "-log-level=info" // no data directory: the default has etcd's suffix
	p := begin(t, dir, "etcd", args...)
	p.await(readyLine)
	p.stops()
	if _, err := os.Stat(filepath.Join(dir, "a.etcd")); err != nil {
		t.Error(err)
	}
}

func TestAConfigurationFileIsEnoughToServe(t *testing.T) {
	a := newAlone(t)
	file := filepath.Join(t.TempDir(), "etcd.conf.yml")
	content := fmt.Sprintf("name: a\ndata-dir: %s\nlisten-client-urls: http://%s\nadvertise-client-urls: http://%s\nlisten-peer-urls: http://%s\ninitial-advertise-peer-urls: http://%s\n",
		a.dir, a.client, a.client, a.peer, a.peer)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p := begin(t, "", "synod", "serve", "--config-file", file)
	p.await(readyLine)
	p.stops()
}

func TestProfilesAreServedOnlyWhenAskedFor(t *testing.T) {
	for _, enabled := range []bool{false, true} {
		a := newAlone(t)
		p := a.serve(t, fmt.Sprintf("--enable-pprof=%v", enabled))
		p.await(readyLine)
		o := statusOptions{reach: reach{endpoints: []string{a.client}}}
		client, err := o.client()
		if err != nil {
			t.Fatal(err)
		}
		r, err := client.Get("http://" + a.client + "/debug/pprof/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if (r.StatusCode == 200) != enabled {
			t.Errorf("enabled %v: %s", enabled, r.Status)
		}
		p.stops()
	}
}

// TestStartsThatMustFail: each is refused in one line, with exit code 1.
func TestStartsThatMustFail(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	etcdDir, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.Mkdir(filepath.Join(etcdDir, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"a client port in use", []string{"--listen-metrics-urls=http://" + taken.Addr().String()}, "the address is in use"},
		{"an address of another machine", []string{"--listen-metrics-urls=http://192.0.2.1:1"}, "does not have that address"},
		{"etcd's directory", []string{"--data-dir=" + etcdDir}, "holds the data of an etcd server"},
		{"no data where some should be", []string{"--initial-cluster-state=existing"}, "holds no data"},
		{"a directory that cannot be made", []string{"--data-dir=" + filepath.Join(file, "d")}, "choose a --data-dir that can be written"},
		{"a log file that cannot be written", []string{"--log-outputs=" + filepath.Join(file, "log")}, "cannot log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAlone(t)
			args := a.args()
			if strings.HasPrefix(test.args[0], "--data-dir") {
				args[1] = "--name=a"
			}
			p := begin(t, "", "synod", append(append([]string{"serve"}, args...), test.args...)...)
			p.exitsWith(exitFailure)
			if !strings.HasPrefix(p.lastLine(), "synod: ") || !strings.Contains(p.lastLine(), test.want) {
				t.Errorf("its last line does not say %q", test.want)
			}
			if logs := test.want != "cannot log"; strings.Contains(p.output(), `"msg":"this member cannot start"`) != logs {
				t.Errorf("its log has the reason: %t, want %t", !logs, logs)
			}
			if _, err := os.Stat(a.dir); !os.IsNotExist(err) {
				t.Errorf("it made its data directory: %v", err)
			}
		})
	}
}

func TestADirectoryInUseIsRefused(t *testing.T) {
	a, b := newAlone(t), newAlone(t)
	first := a.serve(t)
	first.await(readyLine)
	b.dir = a.dir
	second := b.serve(t)
	second.exitsWith(exitFailure)
	if !strings.Contains(second.lastLine(), "in use by another process") {
		t.Error("it does not say why")
	}
	first.stops()
}

func TestADirectoryOfAnotherClusterOrMemberIsRefused(t *testing.T) {
	a := newAlone(t)
	first := a.serve(t)
	first.await(readyLine)
	first.stops()
	other := newAlone(t)
	other.dir = a.dir // another peer URL makes another member
	for _, start := range []func() *process{
		func() *process { return a.serve(t, "--initial-cluster-token=other") },
		func() *process { return other.serve(t) },
	} {
		p := start()
		p.exitsWith(exitFailure)
		if !strings.Contains(p.lastLine(), "belongs to another member") {
			t.Error("it does not say why")
		}
	}
}

func TestAMemberWhoseDiskFailsAcknowledgesNothingMoreAndExits(t *testing.T) {
	a := newAlone(t)
	p := a.serve(t)
	p.await(readyLine)
	put(t, a.client, "before", "1")
	nothing := &unix.Rlimit{} // no byte may be written to any file
	if err := unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_FSIZE, nothing, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := pb.NewKVClient(dial(t, a.client)).Put(patient(t), &pb.PutRequest{Key: []byte("after"), Value: []byte("2")}); err == nil {
		t.Error("a write that is on no disk was acknowledged")
	}
	p.exitsWith(exitFailure)
	if !strings.HasPrefix(p.lastLine(), "synod: ") || !strings.Contains(p.lastLine(), "file too large") {
		t.Error("it does not say why")
	}
	again := a.serve(t)
	again.await(readyLine)
	if got := get(t, a.client, "before"); got != "1" {
		t.Errorf("what was acknowledged is gone: %q", got)
	}
	again.stops()
}

// TestUsageErrors: each is refused in one line, with exit code 2, and nothing is made.
func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		program, args, want string
	}{
		{"synod", "nonsense", `unknown argument "nonsense"`},
		{"synod", "--nonsense", "unknown flag"},
		{"synod", "serve --nonsense", "unknown flag --nonsense"},
		{"synod", "serve nonsense", "unexpected argument"},
		{"synod", "serve --listen-client-urls=http://example.com:1 --advertise-client-urls=http://example.com:1", "not a name"},
		{"synod", "serve --name=b --initial-cluster=a=http://127.0.0.1:1", "does not name this member"},
		{"synod", "serve --unsafe-no-fsync", "not supported"},
		{"synod", "serve --config-file=missing.yml", "cannot read the configuration file"},
		{"etcd", "--nonsense", "unknown flag --nonsense"},
		{"etcd", "-data-dir", "needs a value"},
		{"synod", "up --nodes=0", "give 1 to 15"},
		{"synod", "up --nodes=16", "give 1 to 15"},
		{"synod", "up --nodes=x", `invalid argument "x" for "--nodes" flag: invalid syntax`},
		{"synod", "up --client-port-base=65535", "leaves room"},
		{"synod", "up nonsense", "unknown argument"},
		{"synod", "status --endpoints=nowhere", "no client address"},
		{"synod", "status --endpoints=ftp://h:1", "no client address"},
		{"synod", "status --cacert=missing.pem", "--cacert"},
		{"synod", "bench nonsense", "unknown argument"},
		{"synod", "bench put --clients=0", "--clients: 0 is not from 1 to"},
		{"synod", "bench put --value-bytes=99999999", "--value-bytes"},
		{"synod", "bench put --rate=-1", "--rate"},
		{"synod", "bench put --duration=0s", "--duration"},
		{"synod", "bench put --prefix=", "--prefix"},
		{"synod", "bench put --user=root", "write name:password"},
		{"synod", "bench range --endpoints=nowhere", "no client address"},
		{"synod", "bench txn --endpoints=http://h:1,https://h:2", "all as https://"},
		{"synod", "bench watch --watch=all", "none of key, prefix and idle"},
		{"synod", "bench watch --watchers=1 --streams=2", "--streams: 2 is not from 0 to 1"},
		{"synod", "version nonsense", "unknown argument"},
	} {
		dir := t.TempDir()
		p := begin(t, dir, test.program, strings.Fields(test.args)...)
		p.exitsWith(exitUsage)
		if out := p.output(); strings.Contains(out, "\n") || !strings.Contains(out, test.want) {
			t.Errorf("%s %s: %q does not say %q in one line", test.program, test.args, out, test.want)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s %s left %v behind, %v", test.program, test.args, entries, err)
		}
	}
}

func TestHelpIsAsItWasAgreed(t *testing.T) {
	for _, test := range []struct{ golden, args string }{
		{"help.txt", "--help"},
		{"help-up.txt", "up --help"},
		{"help-status.txt", "status --help"},
		{"help-bench.txt", "bench --help"},
		{"help-bench-put.txt", "bench put --help"},
		{"help-bench-watch.txt", "bench watch --help"},
		{"help-disk.txt", "disk --help"},
		{"help-disk-dump.txt", "disk dump --help"},
		{"help-disk-check.txt", "disk check --help"},
		{"help-disk-repair.txt", "disk repair --help"},
		{"help-disk-recover.txt", "disk recover --help"},
		{"help-version.txt", "version --help"},
		{"help-serve.txt", "serve --help"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(append([]string{"synod"}, strings.Fields(test.args)...), &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("synod %s: exit code %d, %q", test.args, code, &stderr)
		}
		path := filepath.Join("testdata", test.golden)
		if *update {
			if err := os.WriteFile(path, stdout.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stdout.Bytes(), want) {
			t.Errorf("synod %s differs from %s; look at it, then run with -update", test.args, path)
		}
	}
}
