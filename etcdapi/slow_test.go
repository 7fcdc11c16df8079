package etcdapi

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

func TestSlowRequestsAreLoggedOnceASecondAndTheOthersCounted(t *testing.T) {
	var log bytes.Buffer
	s := &slowRequests{bound: time.Minute, logger: slog.New(slog.NewTextHandler(&log, nil))}
	long, short := time.Now().Add(-2*time.Minute), time.Now()
	s.observe(t.Context(), "/etcdserverpb.KV/Put", short, nil)
	if log.Len() > 0 {
		t.Errorf("a quick request was logged: %s", &log)
	}
	for range 4 {
		s.observe(t.Context(), "/etcdserverpb.KV/Put", long, errors.New("it failed"))
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "method=etcdserverpb.KV/Put") || !strings.Contains(got, "it failed") {
		t.Errorf("four slow requests within a second were logged as %q", got)
	}
	s.next.Store(0) // the second is over
	s.observe(t.Context(), "/etcdserverpb.KV/Put", long, nil)
	if got := log.String(); !strings.Contains(got, "muted=3") {
		t.Errorf("the next line does not say that three were not said: %q", got)
	}
	never := &slowRequests{logger: s.logger}
	log.Reset()
	if never.observe(t.Context(), "m", long, nil); log.Len() > 0 {
		t.Error("a server without a bound has logged a slow request")
	}
}

func TestSlowAppliesAreLoggedInEtcdsWordsAndCounted(t *testing.T) {
	var log bytes.Buffer
	o := NewObserver()
	o.LogSlowApplies(100*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil)))
	registry := prometheus.NewRegistry()
	registry.MustRegister(o.slow.count)
	counted := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		return families[0].GetMetric()[0].GetCounter().GetValue()
	}
	applied := o.Events().Applied
	if applied(synod.ApplyDone{Slot: 3, Commands: 1, Duration: 100 * time.Millisecond}); log.Len() > 0 {
		t.Errorf("a call was logged that took no longer than it may: %s", &log)
	}
	for slot := range 3 {
		applied(synod.ApplyDone{Slot: paxos.Slot(7 + slot), Commands: 2, Bytes: 40, Duration: time.Second})
	}
	got := log.String()
	for _, want := range []string{`msg="apply request took too long"`, "took=1s", "expected-duration=100ms", "slot=7", "requests=2", "bytes=40"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("three slow calls within a second were logged as %q; want %s once", got, want)
		}
	}
	if count := counted(); count != 3 {
		t.Errorf("%v slow calls were counted, want 3", count)
	}
	o.LogSlowApplies(0, nil)
	applied = o.Events().Applied
	if applied(synod.ApplyDone{Duration: time.Hour}); counted() != 3 {
		t.Error("a slow call was counted although none is to be")
	}
}
