package synod_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// store is a replicated map. Its state lives in memory; after a restart the node feeds it the log again.
type store map[string]string

// Apply executes "key=value" and returns the value that was there before.
func (s store) Apply(commands []synod.Command) []any {
	var results []any
	for _, c := range commands {
		key, value, _ := strings.Cut(string(c.Data), "=")
		results = append(results, s[key])
		s[key] = value
	}
	return results
}

func (s store) Applied() paxos.Slot { return 0 }

// A replicated key-value store that survives crashes, in one process for the sake of the example: each node would be a process of its own.
func Example() {
	dir, err := os.MkdirTemp("", "synod-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	members := []synod.Member{{ID: 1, Address: "127.0.0.1:7451"}, {ID: 2, Address: "127.0.0.1:7452"}, {ID: 3, Address: "127.0.0.1:7453"}}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	for life := range 2 { // the second time, everything is recovered from disk
		var nodes []*synod.Node
		for _, m := range members {
			node, err := synod.Open(synod.Config{
				ID: m.ID, Members: members, Dir: fmt.Sprintf("%s/%d", dir, m.ID), Machine: store{}, Logger: slog.New(slog.DiscardHandler),
				ElectionTimeout: 5 * time.Second, // they share a machine, which may be busy
			})
			if err != nil {
				log.Fatal(err)
			}
			nodes = append(nodes, node)
		}
		was, err := nodes[life].Propose(ctx, fmt.Appendf(nil, "colour=%s", []string{"green", "blue"}[life]))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("was %q\n", was)
		for _, node := range nodes {
			node.Close()
		}
	}
	// Output:
	// was ""
	// was "green"
}
