package etcdapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/kv"
)

// check is one question that /livez or /readyz asks.
type check struct {
	name string
	ask  func(context.Context) error
}

// handleHealth adds /health, and /livez and /readyz with a path below them for each of their checks.
//
// Alive means that this member can read its own store; ready, that it can also confirm with a quorum that what
// it reads is the latest. An alarm of corruption makes it unready. There is no check for a learner yet
// that could fail, as there are no learners; its path answers ok.
func (s *Server) handleHealth(mux *http.ServeMux) {
	serializable := check{"serializable_read", s.readLocal}
	linearizable := check{"linearizable_read", s.readConfirmed}
	always := func(context.Context) error { return nil }

	mux.HandleFunc("/health", onlyGET(s.serveHealth))
	s.handleChecks(mux, "livez", serializable)
	s.handleChecks(mux, "readyz",
		check{"data_corruption", s.uncorrupted}, serializable, linearizable, check{"non_learner", always})
}

func (s *Server) readLocal(ctx context.Context) error {
	_, err := s.store.Range(kv.WithCredential(ctx, kv.Member{}), &pb.RangeRequest{Key: []byte{0}, KeysOnly: true, Limit: 1})
	return err
}

func (s *Server) readConfirmed(ctx context.Context) error {
	if err := s.confirm(ctx); err != nil {
		return err
	}
	return s.readLocal(ctx)
}

// serveHealth answers the oldest of the three, which tools know. ?serializable=true asks about this member alone.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	reason := s.alarming(r.URL.Query()["exclude"])
	if reason == "" {
		reason = s.unhealthy(r.Context(), r.URL.Query().Get("serializable") == "true")
	}
	health := struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{fmt.Sprint(reason == ""), reason}
	body, err := json.Marshal(health)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if reason != "" {
		s.metrics.healthFailure.Inc()
		s.tellUnhealthy(r, reason)
		http.Error(w, string(body), http.StatusServiceUnavailable)
		return
	}
	s.metrics.healthSuccess.Inc()
	w.Write(body) // a client that went away needs no answer
}

// alarming returns which alarm is raised, in etcd's words, or "". Some may be left out, by name.
func (s *Server) alarming(excluded []string) string {
	for _, alarm := range s.store.Alarms() {
		if name := alarm.Alarm.String(); !slices.Contains(excluded, name) {
			return "ALARM " + name
		}
	}
	return ""
}

// uncorrupted fails while an alarm of corruption is raised.
func (s *Server) uncorrupted(context.Context) error {
	if slices.ContainsFunc(s.store.Alarms(), func(m *pb.AlarmMember) bool { return m.Alarm == pb.AlarmType_CORRUPT }) {
		return fmt.Errorf("alarm activated: %v", pb.AlarmType_CORRUPT)
	}
	return nil
}

// unhealthy returns why this member is not healthy, in etcd's words, or "".
func (s *Server) unhealthy(ctx context.Context, serializable bool) string {
	if !serializable && !s.led() {
		return "RAFT NO LEADER"
	}
	read := s.readConfirmed
	if serializable {
		read = s.readLocal
	}
	if err := read(ctx); err != nil {
		return "RANGE ERROR:" + err.Error()
	}
	return ""
}

func (s *Server) handleChecks(mux *http.ServeMux, kind string, checks ...check) {
	root := "/" + kind
	mux.HandleFunc(root, onlyGET(func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"] // a check that does not exist may be excluded, too
		s.serveChecks(w, r, kind, slices.DeleteFunc(slices.Clone(checks), func(c check) bool {
			return slices.Contains(excluded, c.name)
		}))
	}))
	for _, c := range checks {
		mux.HandleFunc(root+"/"+c.name, onlyGET(func(w http.ResponseWriter, r *http.Request) {
			s.serveChecks(w, r, kind, []check{c})
		}))
	}
}

// serveChecks runs checks and answers "ok", or 503 with a line for each of them. ?verbose shows the lines of success, too.
func (s *Server) serveChecks(w http.ResponseWriter, r *http.Request, kind string, checks []check) {
	var lines strings.Builder
	healthy := true
	for _, c := range checks {
		outcome := "success"
		if err := c.ask(r.Context()); err != nil {
			healthy, outcome = false, "error"
			fmt.Fprintf(&lines, "[-]%s failed: %v\n", c.name, err)
		} else {
			fmt.Fprintf(&lines, "[+]%s ok\n", c.name)
		}
		s.metrics.checks.WithLabelValues(kind, c.name, outcome).Inc()
		s.metrics.checked.WithLabelValues(kind, c.name).Set(indicator(outcome == "success"))
	}
	if !healthy {
		s.tellUnhealthy(r, lines.String())
		http.Error(w, lines.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.URL.Query().Has("verbose") {
		fmt.Fprint(w, lines.String())
	}
	fmt.Fprint(w, "ok\n")
}

// tellUnhealthy logs that a check has failed, once in a while however often somebody asks.
func (s *Server) tellUnhealthy(r *http.Request, reason string) {
	if muted, ok := s.unhealthyTold.May(time.Now()); ok {
		s.logger.Warn("health check failed", "path", r.URL.Path, "reason", strings.ReplaceAll(strings.TrimSpace(reason), "\n", "; "), "muted", muted)
	}
}
