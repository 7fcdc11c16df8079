package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"synod.dev/synod/internal/load"
)

// benchOutcome is what one bench has measured, as it is printed.
type benchOutcome struct {
	Operation   string  `json:"operation"`
	Clients     int     `json:"clients"`
	Connections int     `json:"connections"`
	ValueBytes  int     `json:"value_bytes"`
	Keys        int     `json:"keys"`
	Rate        float64 `json:"rate,omitempty"` // requests that fell due in a second; absent in the closed loop

	Seconds         float64 `json:"seconds"`
	Answered        int64   `json:"answered"`
	PerSecond       float64 `json:"per_second"`
	Failed          int64   `json:"failed"`
	Overdue         int64   `json:"overdue"` // fell due and were never made
	Watchers        int     `json:"watchers,omitempty"`
	Events          int64   `json:"events,omitempty"`
	EventsPerSecond float64 `json:"events_per_second,omitempty"`

	Latency latencies `json:"latency_ms"`
}

// latencies are in milliseconds.
type latencies struct {
	Mean    float64 `json:"mean"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p99_9"`
	Longest float64 `json:"longest"`
}

func (o *benchOptions) outcome(operation string, r *load.Result) *benchOutcome {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &benchOutcome{
		Operation: operation, Clients: o.clients, Connections: o.connections, ValueBytes: o.valueBytes, Keys: o.keySpace().Count, Rate: o.rate, Watchers: o.watchers,
		Seconds: r.Elapsed.Seconds(), Answered: r.Count(), PerSecond: r.Throughput(), Failed: r.Failed, Overdue: r.Overdue,
		Latency: latencies{ms(r.Mean()), ms(r.Quantile(.5)), ms(r.Quantile(.9)), ms(r.Quantile(.99)), ms(r.Quantile(.999)), ms(r.Quantile(1))},
	}
}

func (b *benchOutcome) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(b)
	}
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "  %-10s"+format+"\n", append([]any{name}, args...)...)
	}
	pace := "one request after the other each"
	if b.Rate > 0 {
		pace = fmt.Sprintf("%s requests a second fall due", grouped(int64(b.Rate)))
	}
	fmt.Fprintf(&text, "%s: %s on %s, %s; %s, values of %s\n\n",
		b.Operation, counted(b.Clients, "client"), counted(b.Connections, "connection"), pace, counted(b.Keys, "key"), counted(b.ValueBytes, "byte"))
	line("answered", "%s in %.1f s: %s a second", grouped(b.Answered), b.Seconds, grouped(int64(b.PerSecond)))
	if b.Failed > 0 {
		line("failed", "%s", grouped(b.Failed))
	}
	if b.Overdue > 0 {
		line("overdue", "%s: the cluster does not bear the rate, or it takes more --clients", grouped(b.Overdue))
	}
	if b.Watchers > 0 {
		line("events", "%s to %s: %s a second", grouped(b.Events), counted(b.Watchers, "watcher"), grouped(int64(b.EventsPerSecond)))
	}
	for _, l := range []struct {
		name string
		ms   float64
	}{{"mean", b.Latency.Mean}, {"p50", b.Latency.P50}, {"p90", b.Latency.P90}, {"p99", b.Latency.P99}, {"p99.9", b.Latency.P999}, {"longest", b.Latency.Longest}} {
		line(l.name, "%9.3f ms", l.ms)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// counted writes how many of something there are.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(int64(n)) + " " + thing
}

// grouped writes a number with commas between thousands.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
