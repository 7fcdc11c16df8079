package main

import "testing"

// of makes the runs of one figure: by contender, its value in each round.
func of(name figure, values map[string][]float64) *measured {
	m := &measured{}
	for contender, all := range values {
		for i, value := range all {
			m.Runs = append(m.Runs, run{Round: i + 1, Contender: contender, Figures: figures{name: value}})
		}
	}
	return m
}

func TestBarsAreJudgedByTheMedianOfPairedRatios(t *testing.T) {
	for _, test := range []struct {
		name   string
		bar    bar
		values map[string][]float64
		median float64
		held   bool
	}{
		{"held", bar{figure: throughput, against: []string{etcd}, atLeast: 2}, map[string][]float64{synod: {20, 30, 10}, etcd: {10, 10, 10}}, 2, true},
		{"missed", bar{figure: throughput, against: []string{etcd}, atLeast: 2.1}, map[string][]float64{synod: {20, 30, 10}, etcd: {10, 10, 10}}, 2, false},
		{"paired, not a ratio of medians", bar{figure: throughput, against: []string{etcd}, atLeast: 2}, map[string][]float64{synod: {1, 20, 400}, etcd: {1, 10, 100}}, 2, true},
		{"at most", bar{figure: p99, against: []string{etcd}, atMost: .5}, map[string][]float64{synod: {1, 2}, etcd: {2, 4}}, .5, true},
		{"more than at most", bar{figure: p99, against: []string{etcd}, atMost: .5}, map[string][]float64{synod: {1.1, 2.2}, etcd: {2, 4}}, .55, false},
		{"against the best of several", bar{figure: throughput, against: []string{etcdraft, dragonboat}, atLeast: 1.3}, map[string][]float64{synod: {13}, etcdraft: {5}, dragonboat: {12}}, 13. / 12, false},
		{"whichever is the best", bar{figure: p50, against: []string{etcdraft, dragonboat}, atMost: 1}, map[string][]float64{synod: {5}, etcdraft: {4}, dragonboat: {10}}, 1.25, false},
		{"one of several is not measured", bar{figure: p50, against: []string{etcdraft, dragonboat}, atMost: 1}, map[string][]float64{synod: {5}, etcdraft: {6}}, 0, false},
		{"the figure itself", bar{figure: jain, atLeast: .99}, map[string][]float64{synod: {.995}, etcd: {.3}}, .995, true},
		{"not measured", bar{figure: throughput, against: []string{etcd}, atLeast: 2}, map[string][]float64{synod: {20}}, 0, false},
		{"a round that only one has does not count", bar{figure: throughput, against: []string{etcd}, atLeast: 2}, map[string][]float64{synod: {10, 90}, etcd: {10}}, 1, false},
	} {
		v := judge(&cell{bars: []bar{test.bar}}, of(test.bar.figure, test.values))
		if len(v) != 1 || v[0].held != test.held || (v[0].value.median-test.median) > 1e-9 || (test.median-v[0].value.median) > 1e-9 {
			t.Errorf("%s: %+v", test.name, v)
		}
	}
}

func TestSpreadIsTheMedianAndTheRange(t *testing.T) {
	for _, test := range []struct {
		values map[int]float64
		want   string
	}{
		{nil, "–"},
		{map[int]float64{1: 7}, "7.0"},
		{map[int]float64{1: 7, 2: 5, 3: 6}, "6.0 (5.0–7.0)"},
		{map[int]float64{1: 7, 2: 5}, "6.0 (5.0–7.0)"},
	} {
		if got := spreadOf(test.values).text("%.1f"); got != test.want {
			t.Errorf("%v: %s, not %s", test.values, got, test.want)
		}
	}
}
