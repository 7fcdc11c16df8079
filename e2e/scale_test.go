package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

var (
	scaleWatchers = flag.Int("scale-watchers", 200, "how many watchers of one prefix the scale test creates")
	scaleEvents   = flag.Int("scale-events", 50, "how many keys it puts under them")
	scaleLeases   = flag.Int("scale-leases", 1000, "how many leases it grants")
	scaleKeys     = flag.Int("scale-keys", 5000, "how many keys it lists, of 100 bytes each")
)

// streamedMax is how much more memory a member may take for a list of any length that is streamed, in bytes; the database's cache is most of it.
const streamedMax = 384 << 20

// TestScaleBesideEtcd puts the same load on a member of Synod and on a real etcd, one after the other, each alone and durable on the same disk, and prints what each took in time, of the processor, and,
// at its highest, in memory. It demands that the answers are complete, and of Synod that its memory does not grow with a list that is streamed.
func TestScaleBesideEtcd(t *testing.T) {
	for _, server := range []struct {
		name    string
		program []string
	}{{"synod", serve()}, {"etcd", []string{buildEtcd(t), "--quota-backend-bytes=8589934592", "--log-level=error"}}} {
		t.Run(server.name, func(t *testing.T) {
			m := startScaled(t, server.program)
			conns := m.connections(t, 4)
			m.measure("put the keys", func() { putKeys(t, conns, *scaleKeys) })
			m.measure("list them in pages of 1000", func() { listPaged(t, conns[0], *scaleKeys) })
			grown := m.measure("list them as a stream", func() { listStreamed(t, conns[0], *scaleKeys) })
			if server.name == "synod" && grown > streamedMax {
				t.Errorf("a streamed list took %d MiB more memory", grown>>20)
			}
			m.measure("grant the leases", func() { grantLeases(t, conns, *scaleLeases) })
			m.measure("watch, and hear of every event", func() { watchEvents(t, conns, *scaleWatchers, *scaleEvents) })
		})
	}
}

// scaled is one member under measurement.
type scaled struct {
	t *testing.T
	*member
}

func startScaled(t *testing.T, program []string) *scaled {
	t.Helper()
	client, peer := listenAddress(t), listenAddress(t)
	c := newCluster(t, program, []place{{client, peer, client, peer}})
	m := c.members[0]
	m.start()
	connect(t, m.client) // etcd says nothing at its level of logging
	return &scaled{t, m}
}

func (m *scaled) connections(t *testing.T, n int) []*grpc.ClientConn {
	t.Helper()
	conns := make([]*grpc.ClientConn, n)
	for i := range conns {
		conn, err := grpc.NewClient("passthrough:///"+m.client, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns[i] = conn
	}
	return conns
}

// measure prints what a load takes, and returns by how much the server's memory has grown at the highest, in bytes.
func (m *scaled) measure(what string, load func()) int64 {
	m.t.Helper()
	m.forgetPeak()
	before, used, began := m.memory("VmRSS"), m.processorTime(), time.Now()
	load()
	took, peak := time.Since(began), m.memory("VmHWM")
	m.t.Logf("%-32s %8.2f s, %8.2f s of the processor, memory %5d MiB, at most %5d MiB",
		what, took.Seconds(), (m.processorTime() - used).Seconds(), before>>20, peak>>20)
	return peak - before
}

// processorTime returns how long the server has been computing, which other load on the machine changes less than what the clock says; 0 where the system does not tell.
func (m *scaled) processorTime() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(m.command.Process.Pid), "stat"))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(content, []byte(") ")) // the name, which may hold spaces, is over
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(string(fields[11]))
	system, _ := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * tick
}

// forgetPeak begins to measure the highest memory anew, where the system can: else it stays that since the start.
func (m *scaled) forgetPeak() {
	os.WriteFile(filepath.Join("/proc", strconv.Itoa(m.command.Process.Pid), "clear_refs"), []byte("5"), 0)
}

// memory returns a line of the server's memory in bytes; 0 where there is no such thing.
func (m *scaled) memory(line string) int64 {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(m.command.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	var kilobytes int64
	if _, rest, found := bytes.Cut(content, []byte(line+":")); found {
		fmt.Sscan(string(rest), &kilobytes)
	}
	return kilobytes << 10
}

// share runs one(i) for each i below n, so many at a time on each connection.
func share(t *testing.T, conns []*grpc.ClientConn, n, clients int, one func(conn *grpc.ClientConn, i int) error) {
	t.Helper()
	failed := make(chan error, len(conns)*clients)
	var running sync.WaitGroup
	for c := range len(conns) * clients {
		running.Go(func() {
			for i := c; i < n; i += len(conns) * clients {
				if err := one(conns[c%len(conns)], i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

func scaleKey(i int) []byte { return fmt.Appendf(nil, "list/%09d", i) }

// putKeys puts the keys in transactions of 100.
func putKeys(t *testing.T, conns []*grpc.ClientConn, n int) {
	t.Helper()
	const perTxn = 100
	value := bytes.Repeat([]byte{'v'}, 100)
	share(t, conns, (n+perTxn-1)/perTxn, 16, func(conn *grpc.ClientConn, i int) error {
		txn := &pb.TxnRequest{}
		for k := i * perTxn; k < min((i+1)*perTxn, n); k++ {
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: scaleKey(k), Value: value}}})
		}
		_, err := pb.NewKVClient(conn).Txn(context.Background(), txn)
		return err
	})
}

func listPaged(t *testing.T, conn *grpc.ClientConn, n int) {
	t.Helper()
	kv, next, seen := pb.NewKVClient(conn), []byte("list/"), 0
	for {
		page, err := kv.Range(t.Context(), &pb.RangeRequest{Key: next, RangeEnd: []byte("list0"), Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if seen += len(page.Kvs); !page.More {
			break
		}
		next = append(page.Kvs[len(page.Kvs)-1].Key, 0)
	}
	if seen != n {
		t.Errorf("the pages hold %d keys, want %d", seen, n)
	}
}

func listStreamed(t *testing.T, conn *grpc.ClientConn, n int) {
	t.Helper()
	stream, err := pb.NewKVClient(conn).RangeStream(t.Context(), &pb.RangeRequest{Key: []byte("list/"), RangeEnd: []byte("list0")})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		seen += len(chunk.RangeResponse.Kvs)
	}
	if seen != n {
		t.Errorf("the stream holds %d keys, want %d", seen, n)
	}
}

func grantLeases(t *testing.T, conns []*grpc.ClientConn, n int) {
	t.Helper()
	share(t, conns, n, 64, func(conn *grpc.ClientConn, i int) error {
		_, err := pb.NewLeaseClient(conn).LeaseGrant(context.Background(), &pb.LeaseGrantRequest{ID: int64(i + 1), TTL: 3600})
		return err
	})
}

// watchEvents creates watchers, as many as fit on a few streams, puts keys under them, and returns when every watcher has heard of each.
func watchEvents(t *testing.T, conns []*grpc.ClientConn, watchers, events int) {
	t.Helper()
	const streamsPerConn = 4
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	streams := len(conns) * streamsPerConn
	var created, heard sync.WaitGroup
	for s := range streams {
		mine := (watchers - s + streams - 1) / streams
		stream, err := pb.NewWatchClient(conns[s%len(conns)]).Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		created.Add(1)
		heard.Go(func() { hearEvents(t, stream, mine, mine*events, created.Done) })
		for range mine {
			if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("w/"), RangeEnd: []byte("w0")}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	created.Wait()
	share(t, conns, events, 1, func(conn *grpc.ClientConn, i int) error {
		_, err := pb.NewKVClient(conn).Put(context.Background(), &pb.PutRequest{Key: fmt.Appendf(nil, "w/%d", i), Value: []byte("v")})
		return err
	})
	heard.Wait()
}

// hearEvents reads a stream until all its watchers are created, and then until they have had all events.
func hearEvents(t *testing.T, stream grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse], watchers, events int, created func()) {
	for watchers+events > 0 {
		if watchers == 0 && created != nil {
			created()
			created = nil
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Errorf("%d watchers not created, %d events not heard of: %v", watchers, events, err)
			break
		}
		if resp.Created {
			watchers--
		}
		events -= len(resp.Events)
	}
	if created != nil {
		created()
	}
}
