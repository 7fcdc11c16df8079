package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// fixed is a node that always has the same status.
type fixed struct{ status synod.Status }

func (f fixed) Status() synod.Status { return f.status }

// fakeMember is member number id, 1 to 3, of a cluster that leader leads, 0 for nobody; it hears those in connected.
func fakeMember(id, leader paxos.NodeID, applied paxos.Slot, connected ...paxos.NodeID) fixed {
	s := synod.Status{
		ID: id, Cluster: 0xc, Leader: leader, Ballot: paxos.Ballot{Round: 7, Node: leader, Boot: 1}, Chosen: applied + 1, Applied: applied,
		Sync: synod.Latency{Count: 3, P50: 250 * time.Microsecond, P99: 3 * time.Millisecond},
	}
	for m := paxos.NodeID(1); m <= 3; m++ {
		heard := false
		for _, c := range connected {
			heard = heard || c == m
		}
		s.Members = append(s.Members, synod.MemberStatus{
			Member: synod.Member{ID: m, Name: "m" + string(rune('0'+m)), Address: "h:1"},
			Self:   m == id, Leader: m == leader, Proposer: true, Acceptor: true, Learner: true, Connected: heard,
		})
	}
	return fixed{s}
}

func serveStatus(t *testing.T, name string, f fixed) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(statusPath, statusHandler(name, f))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestStatusShowsEveryMemberAndJudges(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()

	m1 := serveStatus(t, "m1", fakeMember(1, 1, 100, 2, 3))
	m2 := serveStatus(t, "m2", fakeMember(2, 1, 90, 1, 3))
	m3 := serveStatus(t, "m3", fakeMember(3, 1, 100, 1, 2))
	alone := serveStatus(t, "m1", fakeMember(1, 1, 100, 2))
	lost := serveStatus(t, "m1", fakeMember(1, 0, 100, 2, 3))

	for _, test := range []struct {
		name      string
		endpoints []string
		wantErr   string
		want      []string
	}{
		{"all asked", []string{m1, m2, m3}, "", []string{
			"m1 1 leader pal 1 7.1.1 101 100 0 1 0.25ms 3.00ms 0.1.0 reachable",
			"m2 2 pal 1 7.1.1 91 90 0 11 0.25ms 3.00ms 0.1.0 reachable",
			"m3 3 pal 1 7.1.1 101 100 0 1 0.25ms 3.00ms 0.1.0 reachable"}},
		{"one asked", []string{m1}, "", []string{"m2 2 pal - - - - - - - - - not asked; m1 hears it"}},
		{"one asked that misses one", []string{alone}, "m3 is unreachable", []string{"m3 3 pal - - - - - - - - - unreachable: not asked; m1 does not hear it"}},
		{"one gone", []string{m1, m2, gone.Listener.Addr().String()}, "is unreachable", []string{"unreachable: connect: connection refused"}},
		{"a stranger", []string{stranger.URL}, "no Synod member serves there", []string{"404 Not Found"}},
		{"nobody leads", []string{lost}, "there is no leader", []string{"m1 1 pal none "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			err := showStatus(t.Context(), statusOptions{reach: reach{endpoints: test.endpoints}}, &out)
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("error %v, want %q", err, test.wantErr)
			}
			table := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range test.want {
				if !strings.Contains(table, want) {
					t.Errorf("%q is not in\n%s", want, &out)
				}
			}
		})
	}
}

func TestStatusAsJSONCarriesTheWholeReport(t *testing.T) {
	m1 := serveStatus(t, "m1", fakeMember(1, 1, 100, 2, 3))
	var out bytes.Buffer
	if err := showStatus(t.Context(), statusOptions{reach: reach{endpoints: []string{m1}}, asJSON: true}, &out); err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[0].Report == nil || rows[0].Report.Fsync.P99 != 3 || rows[0].Report.Leader != "1" || len(rows[0].Report.Members) != 3 {
		t.Errorf("%s", &out)
	}
}

func TestOnlyGETAsksForStatus(t *testing.T) {
	r := httptest.NewRecorder()
	statusHandler("m1", fakeMember(1, 1, 1)).ServeHTTP(r, httptest.NewRequest(http.MethodPost, statusPath, nil))
	if r.Code != http.StatusMethodNotAllowed {
		t.Error(r.Code)
	}
}

func TestStatusOfARealMember(t *testing.T) {
	a := newAlone(t)
	p := a.serve(t)
	p.await(readyLine)
	s := begin(t, "", "synod", "status", "--endpoints=http://"+a.client)
	s.exitsWith(0)
	if !strings.Contains(s.output(), "leader pal") {
		t.Error("the only member must lead")
	}
	p.stops()
	s = begin(t, "", "synod", "status", "--endpoints="+a.client)
	s.exitsWith(exitFailure)
}
