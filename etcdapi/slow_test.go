package etcdapi

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
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
	if got := log.String(); !strings.Contains(got, "unsaid-before=3") {
		t.Errorf("the next line does not say that three went unsaid: %q", got)
	}
	never := &slowRequests{logger: s.logger}
	log.Reset()
	if never.observe(t.Context(), "m", long, nil); log.Len() > 0 {
		t.Error("a server without a bound has logged a slow request")
	}
}
