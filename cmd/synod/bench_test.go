package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/internal/freeport"
	"synod.dev/synod/internal/load"
)

func TestBenchMakesTheRequestsThatItCounts(t *testing.T) {
	a := newAlone(t)
	member := a.serve(t)
	member.await(readyLine)
	kv := pb.NewKVClient(dial(t, a.client))
	revision := func() int64 {
		r, err := kv.Range(t.Context(), &pb.RangeRequest{Key: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	for _, test := range []struct {
		args   string
		writes int64
		events int64
	}{
		{"put", 300, 0},
		{"put --rate 10000", 300, 0},
		{"range --keys 50 --prefix r/", 50, 0}, // which it fills first
		{"range --keys 50 --prefix r/ --serializable", 0, 0},
		{"txn --keys 70 --prefix t/", 70 + 300, 0},
		{"watch --watchers 20 --streams 3", 300, 6000},
		{"watch --watchers 20 --watch prefix", 300, 6000},
		{"watch --watchers 20 --watch idle", 300, 0},
	} {
		before := revision()
		var stdout, stderr bytes.Buffer
		args := "synod bench " + test.args + " --requests 300 --clients 4 --connections 2 --json --endpoints " + a.client
		if code := run(strings.Fields(args), &stdout, &stderr); code != 0 {
			t.Fatalf("%s: exit code %d, %s", args, code, &stderr)
		}
		var got benchOutcome
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", &stdout, err)
		}
		if got.Answered != 300 || got.Failed != 0 || got.PerSecond <= 0 || got.Events != test.events {
			t.Errorf("%s: %s", args, &stdout)
		}
		if l := got.Latency; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Longest || l.Mean > l.Longest {
			t.Errorf("%s: latencies %+v", args, l)
		}
		if writes := revision() - before; writes != test.writes {
			t.Errorf("%s: %d writes, not %d", args, writes, test.writes)
		}
	}
	member.stops()
}

func TestBenchThatIsInterruptedPrintsWhatItHasMeasured(t *testing.T) {
	a := newAlone(t)
	member := a.serve(t)
	member.await(readyLine)
	p := begin(t, "", "synod", "bench", "put", "--warm=0s", "--duration=1h", "--clients=4", "--endpoints="+a.client)
	target, err := load.Dial([]string{a.client}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		count, err := target.Count(t.Context(), load.Keys{Prefix: "synod-bench/"})
		if err != nil {
			t.Fatal(err)
		}
		if count > 10 {
			break
		}
	}
	p.signal(syscall.SIGINT)
	p.exitsWith(0)
	for _, want := range []string{"put: 4 clients on 10 connections", "answered", "p99.9"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("%q is not in\n%s", want, p.output())
		}
	}
	member.stops()
}

func TestBenchReachesMembersWithTLSAndUsers(t *testing.T) {
	authority := newAuthority(t)
	cert, key := authority.issue(t)
	a := newAlone(t)
	member := begin(t, "", "synod", "serve", "--data-dir="+t.TempDir(), "--name=alone", "--initial-cluster=alone=http://"+a.peer,
		"--listen-peer-urls=http://"+a.peer, "--initial-advertise-peer-urls=http://"+a.peer,
		"--listen-client-urls=https://"+a.client, "--advertise-client-urls=https://"+a.client, "--cert-file="+cert, "--key-file="+key)
	member.await(readyLine)
	bench := func(args ...string) *process {
		return begin(t, "", "synod", append([]string{"bench", "put", "--requests=10", "--warm=0s", "--endpoints=https://" + a.client}, args...)...)
	}
	p := bench("--cacert=" + authority.file)
	p.exitsWith(0)
	p = bench()
	p.exitsWith(exitFailure)
	if !strings.Contains(p.lastLine(), "certificate signed by unknown authority") {
		t.Error(p.output())
	}
	p = bench("--cacert="+authority.file, "--user=root:wrong")
	p.exitsWith(exitFailure)
	if !strings.Contains(p.lastLine(), "cannot log in as root") {
		t.Error(p.output())
	}
	member.stops()
}

func TestBenchOfNobodySaysWhatToDo(t *testing.T) {
	nobody, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	p := begin(t, "", "synod", "bench", "put", "--endpoints="+nobody[0])
	p.exitsWith(exitFailure)
	if line := p.lastLine(); !strings.Contains(line, "synod: "+nobody[0]+" cannot be reached: ") || !strings.Contains(line, "connection refused") || !strings.HasSuffix(line, "right?") {
		t.Error(p.output())
	}
}

func TestBenchThatMeasuresNothingSaysWhatToDo(t *testing.T) {
	a := newAlone(t)
	member := a.serve(t)
	member.await(readyLine)
	p := begin(t, "", "synod", "bench", "put", "--requests=1", "--warm=1h", "--endpoints="+a.client)
	p.exitsWith(exitFailure)
	if !strings.Contains(p.lastLine(), "nothing was measured") {
		t.Error(p.output())
	}
	member.stops()
}

func TestProgressBarFillsAndStaysInItsLine(t *testing.T) {
	plan := load.Plan{Warm: time.Second, Duration: 9 * time.Second}
	latest := load.Run(t.Context(), load.Plan{Clients: 1, Requests: 1}, func(context.Context, int, int) error { return nil })
	for _, test := range []struct {
		elapsed  time.Duration
		requests int
		answered int64
		want     string
	}{
		{500 * time.Millisecond, 0, 0, "[#.............................]   5%  warming up"},
		{5 * time.Second, 0, 7, "[###############...............]  50%  "},
		{5 * time.Second, 100, 90, "[###########################...]  90%  "},
		{time.Hour, 0, 7, "[##############################] 100%  "},
	} {
		plan.Requests = test.requests
		if got := bar(plan, test.answered, latest, test.elapsed); !strings.HasPrefix(got, test.want) || len(got) != lineWidth {
			t.Errorf("after %v: %q", test.elapsed, got)
		}
	}
}

func TestNumbersAreGroupedByThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 100_000: "100,000", 1_234_567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %s, not %s", n, got, want)
		}
	}
	if one, many := counted(1, "key"), counted(1000, "key"); one != "1 key" || many != "1,000 keys" {
		t.Error(one, many)
	}
}
