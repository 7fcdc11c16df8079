package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/disk"
	"synod.dev/synod/etcdapi"
	"synod.dev/synod/internal/serverconfig"
	"synod.dev/synod/paxos"
)

// member is one running member: a store, the node that replicates it, and the API before them.
type member struct {
	logger *slog.Logger
	node   *synod.Node
	api    server
	served sync.WaitGroup
	failed chan error // why this member cannot go on; the first reason counts

	published <-chan struct{} // closed once the cluster knows where this member serves clients; nil for one without a store, which publishes nothing

	closers []func() error // what is open, to be closed in reverse order
}

// server is what stands between clients and the node: the API, or on a member without a store what takes its place.
type server interface {
	Serve() error
	Shutdown(context.Context) error
}

// openMember starts a member. On error nothing is left running.
func openMember(config *serverconfig.Config, logger *slog.Logger) (_ *member, err error) {
	m := &member{logger: logger, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	peerTLS, err := config.PeerMutualTLS(logger)
	if err != nil {
		return nil, err
	}
	signed, err := signedTokens(config)
	if err != nil {
		return nil, err
	}
	clients, peers, err := m.listen(config)
	if err != nil {
		return nil, err
	}
	self, err := identify(config, peerTLS)
	if err != nil {
		return nil, err
	}
	if err := m.openDirectory(config); err != nil {
		return nil, err
	}
	m.logger = logger.With("member", hex(uint64(self.id))) // as the node says of its own lines
	m.logger.Info("this member knows who it is", "name", config.Name, "cluster", hex(self.cluster), "joins", self.join)
	if config.Self.Roles&paxos.Learner == 0 {
		return m, m.openBystander(config, self, clients, peers, peerTLS, logger)
	}
	store, err := openStore(config, m.fail, m.logger)
	if err != nil {
		return nil, err
	}
	m.closers = append(m.closers, store.Close)
	members, err := etcdapi.OpenMembers(filepath.Join(config.DataDir, membersFile), m.fail)
	if err != nil {
		return nil, err
	}
	outgoing, err := emptyDirectory(filepath.Join(config.DataDir, "outgoing"))
	if err != nil {
		return nil, err
	}
	tracer, err := m.openTracing(config.Tracing)
	if err != nil {
		return nil, err
	}
	observer := etcdapi.NewObserver()
	observer.LogSlowApplies(config.SlowApply, m.logger)
	machines := map[byte]synod.StateMachine{etcdapi.MachineKV: store, etcdapi.MachineMembers: members}
	if m.node, err = openNode(config, self, peers, peerTLS, machines, observer, logger); err != nil {
		return nil, err
	}
	m.closers = append(m.closers, m.node.Close)
	m.served.Go(m.watchNode)
	api, err := etcdapi.New(etcdapi.Config{
		Node: m.node, Observer: observer, Store: store, Members: members,
		Name:                 config.Name,
		ClientURLs:           config.AdvertiseClientURLs,
		Listeners:            clients,
		Handlers:             m.handlers(config),
		Gateway:              config.Gateway,
		SnapshotDir:          outgoing,
		Origins:              config.Origins,
		Hosts:                config.Hosts,
		ExtensiveMetrics:     config.ExtensiveMetrics,
		SlowRequest:          config.SlowRequest,
		Tracer:               tracer,
		KeepAlive:            etcdapi.KeepAlive(config.KeepAlive),
		MaxRequestBytes:      config.MaxRequestBytes,
		MaxTxnOps:            config.MaxTxnOps,
		QuotaBytes:           config.QuotaBytes,
		MaxConcurrentStreams: config.MaxConcurrentStreams,
		RequestTimeout:       requestTimeout(config.ElectionTimeout),
		MinLeaseTTL:          minLeaseTTL(config.ElectionTimeout),
		PeerScheme:           scheme(config.Self.PeerURL),
		Strict:               config.StrictReconfig,
		MaxLearners:          config.MaxLearners,
		BcryptCost:           config.BcryptCost,
		TokenTTL:             config.AuthTokenTTL,
		JWT:                  signed,
		ClientCertAuth:       config.ClientTLS.ClientCertAuth,
		LeaderTimeout:        3 * config.ElectionTimeout,
		ProgressInterval:     config.ProgressInterval,
		CorruptCheckTime:     config.CorruptCheckTime,
		AutoCompaction:       etcdapi.AutoCompaction{Period: config.CompactionPeriod, Revisions: config.CompactionRevisions},
		Logger:               m.logger,
	})
	if err != nil {
		return nil, err
	}
	m.published = api.Published()
	m.serve(api)
	return m, nil
}

// signedTokens opens the keys of signed tokens; nil if tokens are simple.
func signedTokens(config *serverconfig.Config) (*etcdapi.JWT, error) {
	options, signed := strings.CutPrefix(config.AuthToken, "jwt,")
	if !signed {
		return nil, nil
	}
	return etcdapi.OpenJWT(options)
}

// serve lets the API serve in the background.
func (m *member) serve(api server) {
	m.api = api
	m.served.Go(func() {
		if err := m.api.Serve(); err != nil {
			m.fail(err)
		}
	})
	m.closers = append(m.closers, m.stopServing)
}

// fail ends the member; the first reason counts.
func (m *member) fail(err error) {
	select {
	case m.failed <- err:
	default:
	}
}

func (m *member) watchNode() {
	<-m.node.Done()
	if err := m.node.Err(); err != nil {
		m.fail(err)
	}
}

// join returns nil once this member can serve: a quorum has confirmed that it sees every acknowledged write, and the cluster lists it under its name.
func (m *member) join(ctx context.Context) error {
	for patience := joinAttempt; ; patience = joinReminder {
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := m.awaitQuorum(attempt)
		cancel()
		switch {
		case err == nil:
			return m.awaitPublished(ctx)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		select {
		case <-m.node.Done():
			return m.node.Err()
		default:
		}
		if m.node.Status().Transfer == nil { // else the log says how far that has come
			m.logger.Warn("no quorum yet: start the members that are not heard; they must reach each other, and a new cluster needs all its founders", "not-heard", m.notHeard())
		}
	}
}

// notHeard lists the other members that this one does not hear, with their addresses.
func (m *member) notHeard() []string {
	absent := []string{}
	for _, other := range m.node.Status().Members {
		if !other.Self && !other.Connected {
			absent = append(absent, strings.TrimSpace(other.Name+" "+hex(uint64(other.ID))+" "+other.Address))
		}
	}
	return absent
}

func (m *member) awaitPublished(ctx context.Context) error {
	if m.published == nil {
		return nil
	}
	select {
	case <-m.published:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.node.Done():
		return m.node.Err()
	}
}

// awaitQuorum returns nil once a quorum has confirmed what this member reads; one without a store does its part once it hears a leader.
func (m *member) awaitQuorum(ctx context.Context) error {
	err := m.node.Read(ctx)
	if !errors.Is(err, synod.ErrNoMachine) {
		return err
	}
	poll := time.NewTicker(leaderPoll)
	defer poll.Stop()
	for {
		if leader, _ := m.node.Leader(); leader != 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return synod.ErrNoLeader
		case <-m.node.Done():
			return m.node.Err()
		}
	}
}

// leaderPoll is how often a member without a store looks whether it hears a leader, until it does.
const leaderPoll = 50 * time.Millisecond

func (m *member) stopServing() error {
	m.handOver()
	ctx, cancel := context.WithTimeout(context.Background(), drainBound)
	defer cancel()
	if err := m.api.Shutdown(ctx); err != nil {
		m.logger.Warn("requests were still under way and have been cut off", "error", err)
	}
	return nil
}

// stop closes the member in good order. It gives up when the member fails meanwhile, or when it takes longer than closeBound because a disk does not
// answer: what was acknowledged is durable without any of this.
func (m *member) stop() error {
	closed := make(chan error, 1)
	go func() { closed <- m.close() }()
	select {
	case err := <-closed:
		return err
	case err := <-m.failed:
		return err
	case <-time.After(closeBound):
		return fmt.Errorf("stopped the hard way, since closing took longer than %v; what was acknowledged is on disk, but see to the disk", closeBound)
	}
}

// close stops serving, then replication, then the store, and returns what went wrong.
func (m *member) close() error {
	var errs []error
	for _, closeOne := range slices.Backward(m.closers) {
		errs = append(errs, closeOne())
	}
	m.served.Wait()
	return errors.Join(errs...)
}

// openDirectory makes the data directory and takes it for this process alone. It refuses a directory that holds real etcd's data: starting
// empty in it would look like losing everything.
func (m *member) openDirectory(config *serverconfig.Config) error {
	fileSystem := disk.OS()
	_, err := os.Stat(config.LogDir())
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		if _, err := os.Stat(filepath.Join(config.DataDir, "member")); err == nil {
			return fmt.Errorf("%s holds the data of an etcd server, which Synod cannot read; choose another --data-dir", config.DataDir)
		}
	}
	if err := fileSystem.MkdirAll(config.DataDir); err != nil {
		return fmt.Errorf("cannot make the data directory: %w; choose a --data-dir that can be written", err)
	}
	lock, err := fileSystem.Lock(config.DataDir)
	if errors.Is(err, disk.ErrLocked) {
		return err
	}
	if err != nil {
		return fmt.Errorf("cannot write to the data directory: %w; choose a --data-dir that can be written", err)
	}
	m.closers = append(m.closers, lock.Close)
	return nil
}

// emptyDirectory makes a directory for files that nobody needs after this process: what an earlier one has left, dying, is removed.
func emptyDirectory(dir string) (string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("cannot remove what is left of snapshots that were being sent: %w", err)
	}
	return dir, disk.OS().MkdirAll(dir)
}

// handlers are Synod's own HTTP paths beside etcd's.
func (m *member) handlers(config *serverconfig.Config) map[string]http.Handler {
	handlers := map[string]http.Handler{statusPath: statusHandler(config.Name, m.node)}
	if config.EnablePprof {
		handlers["/debug/pprof/"] = http.HandlerFunc(pprof.Index)
		handlers["/debug/pprof/cmdline"] = http.HandlerFunc(pprof.Cmdline)
		handlers["/debug/pprof/profile"] = http.HandlerFunc(pprof.Profile)
		handlers["/debug/pprof/symbol"] = http.HandlerFunc(pprof.Symbol)
		handlers["/debug/pprof/trace"] = http.HandlerFunc(pprof.Trace)
	}
	return handlers
}

// scheme is that of peer URLs on the network which speak as u does.
func scheme(u url.URL) string {
	if serverconfig.Secure(u) {
		return "https"
	}
	return "http"
}

// requestTimeout is etcd's: what a request may wait for the log, with room for two elections.
func requestTimeout(election time.Duration) time.Duration { return 5*time.Second + 2*election }

// minLeaseTTL is etcd's, in seconds: one and a half election timeouts, so that a change of leader costs no client its lease.
func minLeaseTTL(election time.Duration) int64 {
	return int64((election*3/2 + time.Second - 1) / time.Second)
}
