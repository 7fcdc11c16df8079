package e2e

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/etcdapi/sequential"
	"synod.dev/synod/kv"
)

// startSequential serves an empty store on a log of one replica, in this process, and returns the endpoint.
func startSequential(t testing.TB) string {
	t.Helper()
	const id = 1
	fail := func(err error) { t.Errorf("the replica failed: %v", err) }
	store, err := kv.Open(kv.Config{Dir: t.TempDir(), Fail: fail})
	if err != nil {
		t.Fatal(err)
	}
	members, err := etcdapi.OpenMembers(filepath.Join(t.TempDir(), "members"), fail)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	machines, err := synod.NewMachines(map[byte]synod.StateMachine{etcdapi.MachineKV: store, etcdapi.MachineMembers: members})
	if err != nil {
		t.Fatal(err)
	}
	server, err := etcdapi.New(etcdapi.Config{
		Node: sequential.New(id, 1, machines, "127.0.0.1:1"), Observer: etcdapi.NewObserver(), Store: store, Members: members,
		Listeners: []etcdapi.Listener{{Listener: listener}}, Logger: slog.New(slog.DiscardHandler),
		BcryptCost: 4, TokenTTL: tokenTTL, SnapshotDir: t.TempDir(), QuotaBytes: 2 << 30, // etcd's default
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
