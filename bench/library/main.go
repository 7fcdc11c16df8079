// Command library measures the library alone: three replicas in one process, over loopback and a real disk, every command durable on a majority before it
// is acknowledged. A number of clients each propose one command after another at the leader. It prints one line: throughput and latencies.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// nothing is a state machine without a state: what is measured is the way to it.
type nothing struct{}

func (nothing) Apply(commands []synod.Command) []any { return make([]any, len(commands)) }
func (nothing) Applied() paxos.Slot                  { return 0 }

func main() {
	clients := flag.Int("clients", 64, "clients, each with one command under way")
	size := flag.Int("bytes", 128, "bytes of a command")
	warm := flag.Float64("warm", 0.5, "seconds before the measurement")
	secs := flag.Float64("secs", 3, "seconds of the measurement")
	dir := flag.String("dir", "", "directory for the logs, on a real disk; it must not exist, and is removed at the end (required)")
	flag.Parse()
	if *dir == "" {
		log.Fatal("-dir is required: a directory on a real disk, not a tmpfs")
	}
	if _, err := os.Stat(*dir); err == nil {
		log.Fatalf("%s exists: name a new directory", *dir)
	}
	defer os.RemoveAll(*dir)
	leaders := make(chan paxos.NodeID, 16)
	nodes, err := open(*dir, leaders)
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		for _, n := range nodes {
			n.Close()
		}
	}()
	latencies, failed := drive(nodes[<-leaders-1], *clients, *size, seconds(*warm), seconds(*secs))
	if len(latencies) == 0 {
		log.Fatalf("no command succeeded, %d failed", failed)
	}
	slices.Sort(latencies)
	at := func(q float64) time.Duration { return latencies[int(q*float64(len(latencies)-1))] }
	fmt.Printf("%-22s clients=%d bytes=%d ops/s=%.0f p50=%v p99=%v p99.9=%v max=%v errs=%d\n",
		"synod", *clients, *size, float64(len(latencies)) / *secs, at(.5), at(.99), at(.999), at(1), failed)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// open starts three members on free ports. Who comes to lead is told.
func open(dir string, leaders chan<- paxos.NodeID) ([]*synod.Node, error) {
	var members []synod.Member
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		members = append(members, synod.Member{ID: paxos.NodeID(i + 1), Address: l.Addr().String()})
		l.Close()
	}
	var nodes []*synod.Node
	for _, m := range members {
		events := &synod.EventListener{LeaderChanged: func(c synod.LeaderChange) {
			if c.Leader == m.ID {
				leaders <- m.ID
			}
		}}
		n, err := synod.Open(synod.Config{Events: events, ID: m.ID, Members: members, Dir: filepath.Join(dir, fmt.Sprint(m.ID)), Machine: nothing{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// drive lets the clients propose until the time is over and returns the latencies of the commands that began after the warm-up.
func drive(node *synod.Node, clients, size int, warm, length time.Duration) (all []time.Duration, failed int) {
	begin := time.Now().Add(warm)
	end := begin.Add(length)
	var mu sync.Mutex
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			var mine []time.Duration
			errors := 0
			for at := time.Now(); at.Before(end); at = time.Now() {
				_, err := node.Propose(context.Background(), make([]byte, size))
				switch {
				case err != nil:
					errors++
				case at.After(begin):
					mine = append(mine, time.Since(at))
				}
			}
			mu.Lock()
			all = append(all, mine...)
			failed += errors
			mu.Unlock()
		})
	}
	running.Wait()
	return all, failed
}
