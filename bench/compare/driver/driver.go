// Package driver measures a replication library: three replicas in one process, over loopback and a real disk, every command durable on a majority before
// it is acknowledged. A number of clients each propose one command after another at the leader. All contenders are driven by this code, so that
// their figures can be compared; each is a module of its own, with its own versions of everything.
package driver

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Cluster is three replicas of a state machine that does nothing.
type Cluster interface {
	// Propose returns once a command has been chosen and applied where it was proposed. Any goroutine may call it.
	Propose(ctx context.Context, command []byte) error
	Close() error
}

// Replicas is how many replicas a cluster has.
const Replicas = 3

// proposeBound is how long a command may take before it has failed.
const proposeBound = 10 * time.Second

// Main is the program of a contender. It prints one line: throughput and latencies. open starts a cluster that keeps its logs in dir and returns once it
// has a leader; a contender's own flags must be defined before.
func Main(label string, open func(dir string) (Cluster, error)) {
	clients := flag.Int("clients", 64, "clients, each with one command under way")
	size := flag.Int("bytes", 128, "bytes of a command")
	warm := flag.Float64("warm", 0.5, "seconds before the measurement")
	secs := flag.Float64("secs", 3, "seconds of the measurement")
	dir := flag.String("dir", "", "directory for the logs, on a real disk; it must not exist, and is removed at the end (required)")
	flag.Parse()
	log.SetFlags(0)
	if *dir == "" {
		log.Fatal("-dir is required: a directory on a real disk, not a tmpfs")
	}
	if _, err := os.Stat(*dir); err == nil {
		log.Fatalf("%s exists: name a new directory", *dir)
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		log.Fatal(err)
	}
	cluster, err := open(*dir)
	if err != nil {
		os.RemoveAll(*dir)
		log.Fatal(err)
	}
	latencies, failed := drive(cluster, *clients, *size, seconds(*warm), seconds(*secs))
	report(label, latencies, failed, *clients, *size, *secs)
	if err := cluster.Close(); err != nil {
		log.Print(err)
	}
	if err := os.RemoveAll(*dir); err != nil {
		log.Fatal(err)
	}
}

func report(label string, latencies []time.Duration, failed, clients, size int, secs float64) {
	if len(latencies) == 0 {
		fmt.Printf("%-22s clients=%d bytes=%d ops/s=0 errs=%d\n", label, clients, size, failed)
		return
	}
	slices.Sort(latencies)
	at := func(q float64) time.Duration { return latencies[int(q*float64(len(latencies)-1))] }
	fmt.Printf("%-22s clients=%d bytes=%d ops/s=%.0f p50=%v p99=%v p99.9=%v max=%v errs=%d\n",
		label, clients, size, float64(len(latencies))/secs, at(.5), at(.99), at(.999), at(1), failed)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// drive lets the clients propose until the time is over and returns the latencies of the commands that began after the warm-up.
func drive(cluster Cluster, clients, size int, warm, length time.Duration) (all []time.Duration, failed int) {
	begin := time.Now().Add(warm)
	end := begin.Add(length)
	var mu sync.Mutex
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			mine, bad := propose(cluster, size, begin, end)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			failed += bad
		})
	}
	running.Wait()
	return all, failed
}

// propose is one client.
func propose(cluster Cluster, size int, begin, end time.Time) (latencies []time.Duration, failed int) {
	ctx, cancel := context.WithDeadline(context.Background(), end.Add(proposeBound))
	defer cancel()
	for at := time.Now(); at.Before(end); at = time.Now() {
		err := cluster.Propose(ctx, make([]byte, size))
		switch {
		case err != nil:
			failed++
		case at.After(begin):
			latencies = append(latencies, time.Since(at))
		}
	}
	return latencies, failed
}

// Addresses returns as many free addresses of this machine as there are replicas.
func Addresses() (addresses []string, err error) {
	for range Replicas {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer socket.Close()
		addresses = append(addresses, socket.Addr().String())
	}
	return addresses, nil
}
