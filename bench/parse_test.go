package main

import (
	"maps"
	"strings"
	"testing"
)

const toolSummary = `
Summary:
  Total:	2.0 secs.
  Slowest:	0.0379 secs.
  Average:	%AVERAGE% secs.
  Requests/sec:	%RATE%

Response time histogram:
  0.000292443 [1]	|
  0.0040614955 [182]	|

Latency distribution:
  10% in 0.000460785 secs.
  50% in 0.002 secs.
  99% in 0.036 secs.
  99.9% in 0.04 secs.
`

func summary(average, rate string) string {
	return strings.NewReplacer("%AVERAGE%", average, "%RATE%", rate).Replace(toolSummary)
}

func TestOutputOfEtcdsBenchmarkIsRead(t *testing.T) {
	for _, test := range []struct {
		name, output string
		want         figures
		err          string
	}{
		{"one kind of request", summary("0.003", "1000.5"), figures{throughput: 1000.5, mean: 3, p50: 2, p99: 36, p999: 40}, ""},
		{"two kinds", "Total Read Ops: 1" + summary("0.001", "300") + "Total Write Ops: 3" + summary("0.005", "100"), figures{throughput: 400, mean: 2, p50: 2, p99: 36, p999: 40}, ""},
		{"errors", summary("0.003", "1000") + "Error distribution:\n  [7]\tetcdserver: request timed out\n", nil, "requests failed: [7]\tetcdserver: request timed out"},
		{"nothing", "usage: benchmark", nil, "no summary"},
	} {
		got, err := parseTool([]byte(test.output))
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
	}
}

func TestLineOfALibraryIsRead(t *testing.T) {
	const line = "etcd-raft/etcd-wal     clients=64 bytes=128 ops/s=1621 p50=500µs p99=2.5ms p99.9=1.25s max=2s errs=0\n"
	want := figures{throughput: 1621, p50: .5, p99: 2.5, p999: 1250, longest: 2000}
	if got, err := parseLibrary("a warning before it\n" + line); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for output, want := range map[string]string{
		strings.Replace(line, "errs=0", "errs=3", 1): "3 commands failed",
		"synod clients=1 bytes=128 ops/s=0 errs=9\n": "no p",
		"": "no p",
		strings.Replace(line, "p99=2.5ms", "p99=2.5 furlongs", 1): "no p99",
	} {
		if got, err := parseLibrary(output); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %v, %v", output, got, err)
		}
	}
}
