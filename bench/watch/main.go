// Command watch measures watchers of any server with etcd's API: how many events a second reach many watchers, and what idle
// watchers cost in memory. It counts events in what it receives and decodes nothing else, to be cheaper than the server.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

var (
	endpoint = flag.String("endpoint", "127.0.0.1:2379", "host:port of the server")
	watchers = flag.Int("watchers", 1000, "how many watchers")
	streams  = flag.Int("streams", 1000, "over how many streams they are spread")
	conns    = flag.Int("conns", 10, "over how many connections the streams are spread")
	prefix   = flag.Bool("prefix", false, "each watches the prefix, not the one key")
	distinct = flag.Bool("distinct", false, "each watches a key of its own, and none is written")
	puts     = flag.Int("puts", 500, "how many writes")
	writers  = flag.Int("writers", 8, "how many write at a time")
	size     = flag.Int("size", 256, "bytes of a value")
)

const key = "bench/watch"

func main() {
	flag.Parse()
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	all := make([]*grpc.ClientConn, *conns)
	for i := range all {
		conn, err := grpc.NewClient("passthrough:///"+*endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		all[i] = conn
	}
	before := figure("process_resident_memory_bytes")
	var received atomic.Int64
	began := time.Now()
	if err := watchAll(ctx, all, &received); err != nil {
		return err
	}
	idle := figure("process_resident_memory_bytes")
	fmt.Printf("%d watchers on %d streams in %v; server's memory %.0f MiB, before %.0f MiB, a watcher %.0f bytes\n", *watchers, *streams,
		time.Since(began).Round(time.Millisecond), idle/(1<<20), before/(1<<20), (idle-before)/float64(*watchers))
	if *distinct {
		return nil
	}
	busy := figure("process_cpu_seconds_total")
	began = time.Now()
	if err := writeAll(ctx, all); err != nil {
		return err
	}
	wrote := time.Since(began)
	want := int64(*puts) * int64(*watchers)
	for received.Load() < want {
		if time.Since(began) > 5*time.Minute {
			return fmt.Errorf("only %d of %d events in five minutes", received.Load(), want)
		}
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began)
	busy = figure("process_cpu_seconds_total") - busy
	fmt.Printf("%d writes in %v, %d events in %v: %.0f events/s; server's processor %.2f s: %.0f events a second of it; memory %.0f MiB\n",
		*puts, wrote.Round(time.Millisecond), want, took.Round(time.Millisecond), float64(want)/took.Seconds(),
		busy, float64(want)/busy, figure("process_resident_memory_bytes")/(1<<20))
	return nil
}

// watchAll creates all watchers and lets them count what they receive.
func watchAll(ctx context.Context, conns []*grpc.ClientConn, received *atomic.Int64) error {
	var wait sync.WaitGroup
	failed := make(chan error, *streams)
	for i := range *streams {
		mine := *watchers / *streams
		wait.Go(func() {
			if err := watchSome(ctx, conns[i%len(conns)], i*mine, mine, received); err != nil {
				failed <- err
			}
		})
	}
	wait.Wait()
	close(failed)
	return <-failed
}

// watchSome returns once its watchers are created.
func watchSome(ctx context.Context, conn *grpc.ClientConn, first, n int, received *atomic.Int64) error {
	stream, err := pb.NewWatchClient(conn).Watch(ctx, grpc.ForceCodecV2(counter{encoding.GetCodecV2(grpcproto.Name)}))
	if err != nil {
		return err
	}
	for i := range n {
		create := &pb.WatchCreateRequest{Key: []byte(key)}
		switch {
		case *prefix:
			create.RangeEnd = []byte(key + "0")
		case *distinct:
			create.Key = fmt.Appendf(create.Key, "/%d", first+i)
		}
		if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
			return err
		}
		if err := stream.RecvMsg(new(int64)); err != nil {
			return err
		}
	}
	go func() {
		for {
			var events int64
			if stream.RecvMsg(&events) != nil {
				return // the run is over
			}
			received.Add(events)
		}
	}()
	return nil
}

func writeAll(ctx context.Context, conns []*grpc.ClientConn) error {
	value := []byte(strings.Repeat("v", *size))
	var next atomic.Int64
	var wait sync.WaitGroup
	failed := make(chan error, *writers)
	for i := range *writers {
		wait.Go(func() {
			for next.Add(1) <= int64(*puts) {
				if _, err := pb.NewKVClient(conns[i%len(conns)]).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: value}); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wait.Wait()
	close(failed)
	return <-failed
}

// counter is a codec that turns a WatchResponse into the number of its events.
type counter struct{ encoding.CodecV2 }

const eventsField protowire.Number = 11

var errMalformed = errors.New("malformed response")

func (c counter) Unmarshal(data mem.BufferSlice, v any) error {
	events, ok := v.(*int64)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	*events = 0
	for b := data.Materialize(); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return errMalformed
		}
		b = b[n:]
		if number == eventsField {
			*events++
		}
	}
	return nil
}

// figure asks the server for one of its metrics. It is 0 if there is none.
func figure(name string) float64 {
	resp, err := http.Get("http://" + *endpoint + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var value float64
		if n, _ := fmt.Sscanf(lines.Text(), name+" %g", &value); n == 1 {
			return value
		}
	}
	return 0
}
