package etcdapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"synod.dev/synod"
	"synod.dev/synod/etcdapi/v3electionpb"
	"synod.dev/synod/etcdapi/v3lockpb"
	"synod.dev/synod/internal/quiet"
	"synod.dev/synod/kv"
	"synod.dev/synod/paxos"
)

// Defaults of Config, which are etcd's.
const (
	DefaultMaxRequestBytes = 1536 << 10
	DefaultMaxTxnOps       = 128
	DefaultMinLeaseTTL     = 2               // one and a half election timeouts, in whole seconds
	DefaultRequestTimeout  = 7 * time.Second // 5 s and two election timeouts
	DefaultLeaderTimeout   = 3 * time.Second // three election timeouts

	DefaultProgressInterval = 10 * time.Minute
	DefaultTokenTTL         = 5 * time.Minute
	DefaultMaxLearners      = 1
)

// MinProgressInterval is the least progress interval, as in etcd.
const MinProgressInterval = 100 * time.Millisecond

const (
	// wireOverhead is what a message may be larger than a request; beyond it gRPC refuses the message unread.
	wireOverhead = 512 << 10
	// streamWorkers are goroutines that stay, for their stacks to grow once and not with every request: a tenth of the CPU under load.
	// Requests beyond them get goroutines of their own.
	streamWorkers = 256
	// readHeaderTimeout bounds how long an HTTP client may take over its request's header.
	readHeaderTimeout = time.Minute
)

// A command in the log begins with the number of the machine that it is for. The numbers are part of the log's format.
const (
	MachineKV      byte = 1 // the kv.Store
	MachineMembers byte = 2 // the Members
)

// Replicator is what a Server needs of the replicated log: a *synod.Node, or in tests something that keeps its contract.
type Replicator interface {
	// ProposeFrom replicates a command and returns what the state machine of this process made of it.
	ProposeFrom(ctx context.Context, source uint64, data []byte) (any, error)
	// Read returns once the state machine of this process reflects every write acknowledged before the call.
	Read(ctx context.Context) error
	// Leader returns whom this process follows, 0 while there is none, and the highest ballot of a leader it has seen. It is cheap.
	Leader() (paxos.NodeID, paxos.Ballot)
	// MoveLeader hands leadership to another member.
	MoveLeader(ctx context.Context, to paxos.NodeID) error
	// Membership returns who the members are; the others change that.
	Membership() synod.Membership
	AddMember(ctx context.Context, id paxos.NodeID, address string, roles paxos.Role) error
	RemoveMember(ctx context.Context, id paxos.NodeID) error
	UpdateMember(ctx context.Context, id paxos.NodeID, address string) error
	PromoteMember(ctx context.Context, id paxos.NodeID) error
	Status() synod.Status
}

// Config says what a Server is to serve, and where. Node, Observer, Store, Members and Listeners are required.
type Config struct {
	Node     Replicator
	Observer *Observer // with whose Events the node was opened
	Store    *kv.Store // which the node applies to
	Members  *Members  // likewise

	// Name and ClientURLs are what this member publishes of itself.
	Name       string
	ClientURLs []string

	Listeners []Listener
	// Handlers are served on client listeners beside the server's own paths.
	Handlers map[string]http.Handler

	// SnapshotDir is where a snapshot is made on its way to a client; it needs room for the whole store. Without it there are none.
	SnapshotDir string
	// Gateway serves the API as JSON under /v3/, too.
	Gateway bool

	// Origins are those of web pages that may use the HTTP side; "*" for any.
	Origins []string
	// Hosts are the names that HTTP requests without TLS may be meant for; "*" or none at all for any.
	Hosts []string
	// ExtensiveMetrics adds a histogram of durations for each gRPC method.
	ExtensiveMetrics bool
	// SlowRequest is how long a request may take before the log says so, at most once a second. 0: it never does.
	SlowRequest time.Duration
	// Tracer, if not nil, makes spans of requests.
	Tracer trace.Tracer
	// KeepAlive is gRPC's; 0 is gRPC's own default in every field.
	KeepAlive KeepAlive

	// MaxRequestBytes bounds a write as the log holds it. A message on the wire may be 512 KiB larger.
	MaxRequestBytes int
	// QuotaBytes is how large the store may grow before writes that let it grow are refused and an alarm is raised; 0 or less means that there is no bound.
	QuotaBytes int64
	// MaxTxnOps bounds the operations of a transaction.
	MaxTxnOps int
	// MaxConcurrentStreams bounds the requests that run at a time on one connection. 0 means no bound.
	MaxConcurrentStreams uint32
	// BcryptCost is that of the passwords set from now on, 4 to 31; see package bcrypt.
	BcryptCost int
	// TokenTTL is how long a token lives after its last use.
	TokenTTL time.Duration
	// JWT, if not nil, makes signed tokens in place of those that the store knows.
	JWT *JWT
	// ClientCertAuth lets the common name in a client's certificate say who it is, unless it shows a token. It is for servers all of whose listeners demand
	// certificates.
	ClientCertAuth bool

	// MinLeaseTTL is the shortest TTL that a lease is granted, in seconds.
	MinLeaseTTL int64
	// RequestTimeout bounds how long a request waits for the log; what a client allows may be less.
	RequestTimeout time.Duration
	// LeaderTimeout is how long there may be no leader before streams end whose clients demand one.
	LeaderTimeout time.Duration
	// ProgressInterval is how often watchers that ask for it, and have had no events, are told how far they are. At least MinProgressInterval.
	ProgressInterval time.Duration

	// PeerScheme is "http", or "https" if the members speak TLS with each other: their peer URLs begin with it. Default: "http".
	PeerScheme string
	// Strict turns changes of membership away that etcd would turn away: while members cannot be reached, or have not started.
	Strict bool
	// MaxLearners bounds the members without a vote. Default: 1.
	MaxLearners int

	// AutoCompaction is what the leader compacts without being asked; the same on every member.
	AutoCompaction AutoCompaction
	// CorruptCheckTime is how often the whole store is read and held against what was written. Default: never.
	CorruptCheckTime time.Duration

	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger
}

// KeepAlive says how silent connections are found out.
type KeepAlive struct {
	MinTime  time.Duration // between two pings of a client; one that sends more is disconnected
	Interval time.Duration // of silence after which the server pings
	Timeout  time.Duration // for the answer, after which the connection is closed
}

// Listener is one socket to serve on. The server closes it.
type Listener struct {
	net.Listener
	// TLS, if not nil, secures every connection. The server sets its NextProtos and GetConfigForClient.
	TLS *tls.Config
	// Plain lets clients leave TLS out, although there is TLS.
	Plain bool
	// MetricsOnly serves metrics and health, and no gRPC.
	MetricsOnly bool
}

// Server serves etcd's API. Its methods may be called from any goroutine.
type Server struct {
	node    Replicator
	store   *kv.Store
	members *Members
	logger  *slog.Logger
	metrics *metrics
	slow    slowRequests
	tracing tracing

	refusedLogins, unhealthyTold, unexpected quiet.Matter // what may come up again and again

	raising atomic.Bool // the alarm that there is no space: one request does, of all that find the store full

	cluster, member uint64
	self            *pb.Member    // as this member publishes itself
	published       chan struct{} // closed once it has
	maxRequestBytes int
	maxTxnOps       int
	requestTimeout  time.Duration
	minLeaseTTL     int64
	keepAlives      *keepAlives
	quotaBytes      int64
	autoCompaction  AutoCompaction

	diverged         <-chan struct{}
	corruptCheckTime time.Duration

	snapshotDir string
	snapshots   chan struct{} // a token for each that is being made

	peerScheme  string
	strict      bool
	maxLearners int
	reached     atomic.Pointer[map[paxos.NodeID]time.Time] // since when, see keepReach

	progressInterval time.Duration
	leaderTimeout    time.Duration
	ledStreams       ledStreams

	passwords      *passwords
	tokens         tokens
	renewals       renewals
	tokenTTL       time.Duration
	clientCertAuth bool

	listeners   []Listener
	port        *port
	grpc        *grpc.Server
	health      *health.Server
	http        *http.Server // behind the port
	gateway     *gateway     // nil without one
	metricsHTTP *http.Server // on listeners of their own

	caughtUp atomic.Bool // some read has been confirmed

	stopped context.Context // once Shutdown has begun
	stop    context.CancelFunc
}

// New returns a Server that does not serve yet.
func New(config Config) (*Server, error) {
	if config.Node == nil || config.Observer == nil || config.Store == nil || config.Members == nil || len(config.Listeners) == 0 {
		return nil, errors.New("etcdapi: Config needs Node, Observer, Store, Members and at least one Listener")
	}
	status := config.Node.Status()
	s := &Server{
		node: config.Node, store: config.Store, members: config.Members,
		logger:          cmp.Or(config.Logger, slog.Default()),
		cluster:         status.Cluster,
		member:          uint64(status.ID),
		self:            &pb.Member{ID: uint64(status.ID), Name: config.Name, ClientURLs: config.ClientURLs},
		maxRequestBytes: cmp.Or(config.MaxRequestBytes, DefaultMaxRequestBytes),
		maxTxnOps:       cmp.Or(config.MaxTxnOps, DefaultMaxTxnOps),
		requestTimeout:  cmp.Or(config.RequestTimeout, DefaultRequestTimeout),
		minLeaseTTL:     cmp.Or(config.MinLeaseTTL, DefaultMinLeaseTTL),
		quotaBytes:      config.QuotaBytes,
		autoCompaction:  config.AutoCompaction,

		diverged:         config.Observer.diverged,
		corruptCheckTime: config.CorruptCheckTime,

		published:   make(chan struct{}),
		snapshotDir: config.SnapshotDir,
		snapshots:   make(chan struct{}, snapshotsMax),
		peerScheme:  cmp.Or(config.PeerScheme, "http"),
		strict:      config.Strict,
		maxLearners: cmp.Or(config.MaxLearners, DefaultMaxLearners),
		listeners:   config.Listeners,

		progressInterval: max(cmp.Or(config.ProgressInterval, DefaultProgressInterval), MinProgressInterval),
		leaderTimeout:    cmp.Or(config.LeaderTimeout, DefaultLeaderTimeout),
		ledStreams:       ledStreams{ends: map[*context.CancelCauseFunc]struct{}{}},

		passwords:      newPasswords(cmp.Or(config.BcryptCost, bcrypt.DefaultCost)),
		tokenTTL:       cmp.Or(config.TokenTTL, DefaultTokenTTL),
		clientCertAuth: config.ClientCertAuth,
	}
	s.reached.Store(&map[paxos.NodeID]time.Time{})
	s.renewals = renewals{server: s, running: map[kv.Token]struct{}{}}
	s.tokens = simpleTokens{s}
	if config.JWT != nil {
		s.tokens = config.JWT
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.keepAlives = newKeepAlives(s.stopped, s.renewLeases)
	s.metrics = newMetrics(s.node, s.store, s.quotaBytes, config.Observer)
	if config.ExtensiveMetrics {
		s.metrics.addDurations()
	}
	s.tracing = tracing{config.Tracer}
	s.slow = slowRequests{bound: config.SlowRequest, logger: s.logger}
	s.port = newPort(s.logger)
	s.serveGRPC(config)
	if err := checkAccess(s.grpc); err != nil {
		return nil, err
	}
	access := webAccess{origins: config.Origins, hosts: config.Hosts}
	if config.Gateway {
		var err error
		if s.gateway, err = newGateway(s.port.dialSelf, access, s.maxRequestBytes+wireOverhead); err != nil {
			return nil, err
		}
	}
	s.http = s.newHTTP(s.passGRPC(access.guard(s.clientHandler(config.Handlers))))
	s.metricsHTTP = s.newHTTP(s.metricsMux())
	return s, nil
}

// serveGRPC makes the gRPC server and registers every service of etcd's on it.
func (s *Server) serveGRPC(config Config) {
	s.grpc = grpc.NewServer(
		grpc.Creds(newHandshaken(s.member)),
		grpc.ForceServerCodecV2(newCountingCodec(s.metrics)),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(s.maxRequestBytes+wireOverhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(cmp.Or(config.MaxConcurrentStreams, math.MaxUint32)),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: config.KeepAlive.MinTime}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: config.KeepAlive.Interval, Timeout: config.KeepAlive.Timeout}),
	)
	s.grpc.RegisterService(listingKV(pb.KV_ServiceDesc), &kvService{Server: s})
	pb.RegisterClusterServer(s.grpc, &clusterService{Server: s})
	pb.RegisterMaintenanceServer(s.grpc, &maintenanceService{Server: s})
	pb.RegisterWatchServer(s.grpc, &watchService{Server: s})
	pb.RegisterLeaseServer(s.grpc, &leaseService{Server: s})
	pb.RegisterAuthServer(s.grpc, &authService{Server: s})
	v3lockpb.RegisterLockServer(s.grpc, &lockService{Server: s})
	v3electionpb.RegisterElectionServer(s.grpc, &electionService{Server: s})
	s.health = health.NewServer()
	healthpb.RegisterHealthServer(s.grpc, s.health)
	s.metrics.resolve(s.grpc)
}

func (s *Server) newHTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ErrorLog:          log.New(discard{}, "", 0), // what a client does wrong is the client's to see
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Serve serves on every listener and publishes this member until Shutdown, after which it returns nil, or
// until a listener fails, after which it shuts everything down at once and returns why.
func (s *Server) Serve() error {
	failed := make(chan error, len(s.listeners)+2)
	var serving sync.WaitGroup
	serve := func(name string, run func() error) {
		serving.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) && s.stopped.Err() == nil {
				failed <- fmt.Errorf("cannot go on serving clients on %s: %w", name, err)
			}
		})
	}
	serve("gRPC", func() error { return s.grpc.Serve(s.port.grpc) })
	serve("HTTP", func() error { return s.http.Serve(s.port.http) })
	for _, l := range s.listeners {
		serve(l.Addr().String(), func() error { return s.listen(l) })
	}
	serving.Go(s.publish)
	serving.Go(s.followLeader)
	serving.Go(s.keepReach)
	serving.Go(s.keepAlives.run)
	serving.Go(s.keepUpLeases)
	serving.Go(s.watchForCorruption)
	if s.autoCompaction != (AutoCompaction{}) {
		serving.Go(s.keepCompacting)
	}

	var err error
	select {
	case err = <-failed:
		now, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(now) // which cuts requests off, and says so; err says why
	case <-s.stopped.Done():
	}
	serving.Wait()
	return err
}

func (s *Server) listen(l Listener) error {
	if !l.MetricsOnly {
		return s.port.serve(l)
	}
	socket := l.Listener
	if l.TLS != nil {
		config := l.TLS.Clone()
		config.NextProtos = []string{"http/1.1"}
		socket = tls.NewListener(socket, config)
	}
	return s.metricsHTTP.Serve(socket)
}

// Shutdown stops accepting, lets the requests that run come to their end, and returns nil once they have. When ctx ends first it
// cuts them off and returns an error that says so. It closes the listeners, and neither node nor store.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.health.Shutdown()
	for _, l := range s.listeners {
		l.Close() // closing a socket that accepts reports nothing of use
	}
	s.port.close()

	err := errors.Join(s.http.Shutdown(ctx), s.metricsHTTP.Shutdown(ctx))
	if s.gateway != nil {
		s.gateway.close() // its requests are over, or cut off
	}
	if err != nil {
		s.http.Close() // what comes of that is the clients' loss, and told by err
		s.metricsHTTP.Close()
		s.grpc.Stop() // not gracefully, which requests that HTTP passed on could not bear
	} else {
		err = s.drain(ctx)
	}
	s.renewals.await()
	if err != nil {
		return fmt.Errorf("clients' requests were cut off: %w", err)
	}
	return nil
}

// drain waits for the requests on gRPC's own connections, or cuts them off when ctx ends.
func (s *Server) drain(ctx context.Context) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.grpc.GracefulStop()
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-drained
		return ctx.Err()
	}
}
