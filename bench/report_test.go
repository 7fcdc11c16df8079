package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// someResults are one cell of each form.
func someResults() ([]*cell, results) {
	two := []string{synod, etcd}
	cells := []*cell{
		{name: "put-1", title: "Put", stage: loadStage, contenders: two, columns: []figure{throughput, p99}, bars: []bar{{figure: throughput, against: []string{etcd}, atLeast: 2}}},
		{name: "put-rates", title: "Rates", stage: loadStage, contenders: two, columns: []figure{throughput, p50, p99}, axis: "rate"},
		{name: "half", title: "Half", stage: loadStage, contenders: two, columns: []figure{p999}},
		{name: "growth-keys", title: "Keys", stage: "growth-keys", contenders: two, columns: []figure{throughput, p99, cpu, peak}, axis: "keys"},
		{name: "never", title: "Never measured", stage: storeStage, contenders: two, columns: []figure{took}},
	}
	c := conditions{Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Commit: "0123456789ab", Mode: "quick", Machine: "Machine", Cores: 2, Go: "go1", SyncP50: .1, SyncP99: 1}
	all := results{}
	for _, cell := range cells[:4] {
		m := &measured{Conditions: c}
		for i, contender := range two {
			for _, x := range []float64{1, 10, 100} {
				r := run{Round: 1, Contender: contender, Figures: figures{throughput: x * float64(300-100*i), p50: 1 + x, p99: 2 + x, p999: 3, cpu: 1 / x, peak: x}}
				switch {
				case cell.axis != "":
					r.X = x
				case x > 1:
					r.Round = int(x)
				}
				if cell.name == "half" {
					r.Quantiles = []quantile{{0, 1}, {.5, 2}, {.99, float64(3 + i)}}
				}
				m.Runs = append(m.Runs, r)
			}
		}
		all[cell.name] = m
	}
	all["half"].Failure = "round 4, etcd: it fell over"
	return cells, all
}

func TestReportIsAsItWasAgreed(t *testing.T) {
	dir := t.TempDir()
	cells, all := someResults()
	if err := writeReport(dir, cells, all); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, reportFile))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", reportFile)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the report differs from %s; look at it, then run with -update:\n%s", golden, got)
	}
}

func TestEveryPictureOfTheReportIsThereAndDrawsEveryPoint(t *testing.T) {
	dir := t.TempDir()
	cells, all := someResults()
	if err := writeReport(dir, cells, all); err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(filepath.Join(dir, reportFile))
	if err != nil {
		t.Fatal(err)
	}
	for file, points := range map[string]int{
		"put-rates.svg": 2 * 2 * 3, "half.svg": 2 * 3, "growth-keys-throughput.svg": 2 * 3, "growth-keys-p99.svg": 2 * 3, "growth-keys-cpu.svg": 2 * 3, "growth-keys-memory.svg": 2 * 3,
	} {
		if !strings.Contains(string(report), "("+file+")") {
			t.Errorf("the report does not show %s", file)
		}
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		circles := 0
		for decoder := xml.NewDecoder(bytes.NewReader(text)); ; {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if start, is := token.(xml.StartElement); is && start.Name.Local == "circle" {
				circles++
			}
		}
		if circles != points || strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
			t.Errorf("%s draws %d points of %d:\n%s", file, circles, points, text)
		}
	}
}

func TestPlotOfNothingIsStillAPicture(t *testing.T) {
	for _, p := range []plot{{}, {logX: true, logY: true, series: []series{{name: synod, points: []point{{0, 0}}}}}, {series: []series{{name: etcd, points: []point{{1, 0}}}}}} {
		if svg := p.svg(); xml.Unmarshal([]byte(svg), new(struct{})) != nil || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Error(svg)
		}
	}
}

func TestAxesAreMarkedAtRoundValues(t *testing.T) {
	for _, test := range []struct {
		axis axis
		want []float64
	}{
		{axis{false, 0, 10}, []float64{0, 2.5, 5, 7.5, 10}},
		{axis{false, 0, 47_000}, []float64{0, 10_000, 20_000, 30_000, 40_000}},
		{axis{true, 1, 4096}, []float64{1, 10, 100, 1000}},
		{axis{true, 3, 7}, []float64{3, 7}},
	} {
		if got := test.axis.ticks(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: %v, not %v", test.axis, got, test.want)
		}
	}
}

func TestResultsAreReadAsTheyWereWritten(t *testing.T) {
	dir := t.TempDir()
	if all, err := readResults(dir); err != nil || len(all) != 0 {
		t.Errorf("of an empty folder: %v, %v", all, err)
	}
	_, want := someResults()
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := readResults(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, resultsFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readResults(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Error(err)
	}
}
