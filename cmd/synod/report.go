package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"synod.dev/synod"
)

// statusPath is where a member answers with its report on the client port.
const statusPath = "/synod/status"

// report is a member's view of itself and its cluster, as JSON. IDs are hexadecimal, as etcdctl shows them.
type report struct {
	Name        string         `json:"name"`
	ID          string         `json:"id"`
	Cluster     string         `json:"cluster"`
	Incarnation string         `json:"incarnation"`
	Version     string         `json:"version"`
	Leader      string         `json:"leader"` // "" while there is none
	Ballot      string         `json:"ballot"`
	Promised    string         `json:"promised"`
	Chosen      uint64         `json:"chosen"`
	Applied     uint64         `json:"applied"`
	Trimmed     uint64         `json:"trimmed"` // the log begins after this slot
	Durable     uint64         `json:"durable"`
	Pending     int            `json:"pending"`
	Transfer    *transfer      `json:"transfer,omitempty"`
	Fsync       latency        `json:"fsync"`
	Members     []memberReport `json:"members"`
}

// transfer is how far a snapshot has come that the member fetches from another.
type transfer struct {
	From  string `json:"from"`
	Slot  uint64 `json:"slot"`
	Bytes int64  `json:"bytes"`
	Total int64  `json:"total"` // about; 0 if the sender does not know
}

func (t *transfer) String() string {
	return fmt.Sprintf("fetching a snapshot from member %s: %d of about %d MiB", t.From, t.Bytes>>20, t.Total>>20)
}

// latency summarises durations in milliseconds.
type latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// memberReport is a member as the reporting one sees it.
type memberReport struct {
	Name      string   `json:"name"`
	ID        string   `json:"id"`
	Peer      string   `json:"peer"`
	Roles     []string `json:"roles"`
	Self      bool     `json:"self"`
	Connected bool     `json:"connected"`
	Chosen    uint64   `json:"chosen"`
	Lag       uint64   `json:"lag"`
}

// statusHandler answers with the report of the member of that name.
func statusHandler(name string, n interface{ Status() synod.Status }) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		body, err := json.Marshal(newReport(name, n.Status()))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body) // a client that went away needs no answer
	})
}

func newReport(name string, s synod.Status) report {
	r := report{
		Name:        name,
		ID:          hex(uint64(s.ID)),
		Cluster:     hex(s.Cluster),
		Incarnation: hex(uint64(s.Incarnation)),
		Version:     synodVersion,
		Ballot:      s.Ballot.String(),
		Promised:    s.Promised.String(),
		Chosen:      uint64(s.Chosen),
		Applied:     uint64(s.Applied),
		Trimmed:     uint64(s.Trimmed),
		Durable:     uint64(s.Durable),
		Pending:     s.Pending,
		Fsync:       latency{Count: s.Sync.Count, P50: inMilliseconds(s.Sync.P50), P99: inMilliseconds(s.Sync.P99), Max: inMilliseconds(s.Sync.Max)},
	}
	if s.Leader != 0 {
		r.Leader = hex(uint64(s.Leader))
	}
	if t := s.Transfer; t != nil {
		r.Transfer = &transfer{From: hex(uint64(t.From)), Slot: uint64(t.Slot), Bytes: t.Bytes, Total: t.Total}
	}
	for _, m := range s.Members {
		r.Members = append(r.Members, memberReport{
			Name: m.Name, ID: hex(uint64(m.ID)), Peer: m.Address, Roles: roles(m),
			Self: m.Self, Connected: m.Connected || m.Self, Chosen: uint64(m.Chosen), Lag: uint64(m.Lag),
		})
	}
	return r
}

func roles(m synod.MemberStatus) []string {
	var roles []string
	for _, role := range []struct {
		held bool
		name string
	}{{m.Leader, "leader"}, {m.Proposer, "proposer"}, {m.Acceptor, "acceptor"}, {m.Learner, "learner"}} {
		if role.held {
			roles = append(roles, role.name)
		}
	}
	return roles
}

// shortRoles abbreviates roles for a table: the leader by its name, the others by their first letter, as in "leader pal".
func shortRoles(roles []string) string {
	var leader, others string
	for _, role := range roles {
		if role == "leader" {
			leader = "leader "
		} else {
			others += role[:1]
		}
	}
	return strings.TrimSpace(leader + others)
}

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
