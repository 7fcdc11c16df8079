package serverconfig

import (
	"math"
	"net/url"
	"time"
)

// Groups of flags, in the order in which they are shown.
const (
	groupMember     = "Member"
	groupClustering = "Clustering"
	groupSecurity   = "Security"
	groupAuth       = "Authentication"
	groupMonitoring = "Profiling and monitoring"
	groupLogging    = "Logging"
	groupTracing    = "Distributed tracing"
	groupFeatures   = "Features"
	groupUnsafe     = "Unsafe features"
)

var groups = []string{groupMember, groupClustering, groupSecurity, groupAuth, groupMonitoring, groupLogging, groupTracing, groupFeatures, groupUnsafe}

// requestLimit is the largest --max-request-bytes: what one slot can hold with room for its envelope.
const requestLimit = 32 << 20

// Flags are all of etcd's flags: what each does here, or why it does nothing.
var Flags = []Flag{
	// Member.
	{Name: "name", Default: defaultName, Group: groupMember,
		Meaning: "This member's name, as in --initial-cluster.",
		set:     text(func(c *Config) *string { return &c.Name })},
	{Name: "data-dir", Group: groupMember,
		Meaning: "Directory for everything this member must remember. Default ${name}.synod; ${name}.etcd when started under the name etcd.",
		set:     text(func(c *Config) *string { return &c.DataDir })},
	{Name: "wal-dir", Group: groupMember,
		Meaning: "Directory of the replicated log, if it is to be on a disk of its own. Default: log in the data directory.",
		set:     text(func(c *Config) *string { return &c.WALDir })},
	{Name: "config-file", Group: groupMember,
		Meaning: "YAML file with these settings, in etcd's form. It rules alone: other flags and the environment are then ignored."},
	{Name: "version", Default: "false", Kind: Bool, Group: groupMember,
		Meaning: "Print the version and exit."},
	{Name: "heartbeat-interval", Default: "100", Kind: Number, Group: groupMember,
		Meaning: "Milliseconds between heartbeats; at least 5.",
		set:     milliseconds(func(c *Config) *time.Duration { return &c.Heartbeat })},
	{Name: "election-timeout", Default: "1000", Kind: Number, Group: groupMember,
		Meaning: "Milliseconds within which a new leader is at work after one has died; at least 5 heartbeats, at most 50000.",
		set:     milliseconds(func(c *Config) *time.Duration { return &c.ElectionTimeout })},
	{Name: "listen-peer-urls", Default: "http://localhost:2380", Kind: List, Group: groupMember,
		Meaning: "The URL to listen on for other members: http (plain TCP) or https (mutual TLS), an IP address or localhost. Exactly one.",
		set:     urls(listenURLs, func(c *Config) *[]url.URL { return &c.listenPeer })},
	{Name: "listen-client-urls", Default: "http://localhost:2379", Kind: List, Group: groupMember,
		Meaning: "URLs to serve clients on, gRPC and HTTP on the same port: an IP address or localhost, or unix://path.",
		set:     urls(listenURLs, func(c *Config) *[]url.URL { return &c.ListenClient })},
	{Name: "listen-client-http-urls", Kind: List, Group: groupMember,
		Meaning: "Further URLs to serve clients on, written like --listen-client-urls. Either kind serves both gRPC and HTTP, which do not slow each other down.",
		set:     urls(listenURLs, func(c *Config) *[]url.URL { return &c.ListenClientHTTP })},
	{Name: "max-request-bytes", Default: "1572864", Kind: Number, Group: groupMember,
		Meaning: "Largest client request, in bytes; at most 33554432. The same on every member.",
		set:     number(func(c *Config) *int { return &c.MaxRequestBytes }, 1, requestLimit)},
	{Name: "max-txn-ops", Default: "128", Kind: Number, Group: groupMember,
		Meaning: "Most operations in one transaction.",
		set:     number(func(c *Config) *int { return &c.MaxTxnOps }, 1, math.MaxInt32)},
	{Name: "max-concurrent-streams", Default: "4294967295", Kind: Number, Group: groupMember,
		Meaning: "Most streams that one client connection may have open.",
		set:     number(func(c *Config) *uint32 { return &c.MaxConcurrentStreams }, 1, math.MaxUint32)},
	fixed(groupMember, "grpc-keepalive-min-time", Duration, "5s", notAdjustable),
	fixed(groupMember, "grpc-keepalive-interval", Duration, "2h", notAdjustable),
	fixed(groupMember, "grpc-keepalive-timeout", Duration, "20s", notAdjustable),
	{Name: "quota-backend-bytes", Default: "0", Kind: Integer, Group: groupMember,
		Meaning: "Size of keys and history, in bytes, beyond which writes are refused and an alarm is raised; 0 or less: no bound, the store may be larger than memory.",
		set:     setQuota},
	{Name: "snapshot-count", Default: "10000", Kind: Number, Group: groupMember, Status: Harmless,
		Meaning: "The log is trimmed by bytes, not by counts of entries: see --wal-bytes."},
	{Name: "snapshot-catchup-entries", Default: "5000", Kind: Number, Group: groupMember, Status: Harmless,
		Meaning: "A member that lags is served from the log while that has what it lacks, else by a snapshot: see --wal-bytes."},
	{Name: "wal-bytes", Default: "536870912", Kind: Number, Group: groupMember,
		Meaning: "How much of the replicated log is kept for members that lag, in bytes, beyond what this member still needs. Synod's own.",
		set:     number(func(c *Config) *int64 { return &c.LogBytes }, 128<<20, 1<<50)},
	{Name: "snapshot-rate-bytes", Default: "67108864", Kind: Number, Group: groupMember,
		Meaning: "How fast snapshots are sent to other members, in bytes a second, all together. Synod's own.",
		set:     number(func(c *Config) *int64 { return &c.SnapshotRate }, 1<<20, 1<<40)},
	{Name: "initial-election-tick-advance", Default: "true", Kind: Bool, Group: groupMember, Status: Harmless,
		Meaning: "The first election never waits for ticks."},
	{Name: "max-snapshots", Default: "5", Kind: Number, Group: groupMember, Status: Harmless,
		Meaning: "There are no snapshot files to keep: the store is its own snapshot."},
	{Name: "max-wals", Default: "5", Kind: Number, Group: groupMember, Status: Harmless,
		Meaning: "Segments of the log are kept as long as they are needed and then used again."},
	{Name: "backend-bbolt-freelist-type", Default: "map", Group: groupMember, Status: Harmless,
		Meaning: "The store is no bbolt file."},
	{Name: "backend-batch-interval", Default: "0s", Kind: Duration, Group: groupMember, Status: Harmless,
		Meaning: "The store needs no commits of its own: the replicated log is its log."},
	{Name: "backend-batch-limit", Default: "0", Kind: Number, Group: groupMember, Status: Harmless,
		Meaning: "As --backend-batch-interval."},
	{Name: "memory-mlock", Default: "false", Kind: Bool, Group: groupMember, Status: Fixed,
		Meaning: "the store is not mapped into memory"},
	{Name: "socket-reuse-port", Default: "false", Kind: Bool, Group: groupMember, Status: Fixed,
		Meaning: "two servers on one port would share out each other's clients"},
	{Name: "socket-reuse-address", Default: "false", Kind: Bool, Group: groupMember, Status: Harmless,
		Meaning: "Listeners always reuse an address in TIME_WAIT."},
	{Name: "enable-grpc-gateway", Default: "true", Kind: Bool, Group: groupMember,
		Meaning: "Serve the API as JSON over HTTP under /v3/ on the client port.",
		set:     boolean(func(c *Config) *bool { return &c.Gateway })},
	{Name: "raft-read-timeout", Default: "5s", Kind: Duration, Group: groupMember, Status: Harmless,
		Meaning: "Dead peers are noticed within the election timeout."},
	{Name: "raft-write-timeout", Default: "5s", Kind: Duration, Group: groupMember, Status: Harmless,
		Meaning: "As --raft-read-timeout."},
	{Name: "feature-gates", Kind: List, Group: groupMember,
		Meaning: "Etcd's feature gates, name=true,name=false. Those of etcd 3.7 are taken and have no effect, of which the log warns where it matters; any other is refused.",
		set:     setGates},

	// Clustering.
	{Name: "initial-cluster", Kind: List, Group: groupClustering,
		Meaning: "The founding members, the same list on each: name=URL,name=URL. Default: this member alone.",
		set:     text(func(c *Config) *string { return &c.initialCluster })},
	{Name: "initial-cluster-roles", Kind: List, Group: groupClustering,
		Meaning: "What founders do who are not full members, the same on each: name=witness (votes, keeps no keys), replica (serves reads and watches, does not vote), gateway (forwards, keeps nothing), or any of proposer, acceptor, learner joined by a plus. Synod's own.",
		set:     text(func(c *Config) *string { return &c.initialRoles })},
	{Name: "initial-phase1-quorum", Default: "0", Kind: Number, Group: groupClustering,
		Meaning: "How many members with a vote it takes to become leader, the same on each founder; 0, with --initial-phase2-quorum 0: a majority. Both together must be more than have a vote. Synod's own.",
		set:     number(func(c *Config) *int { return &c.Phase1 }, 0, Founders)},
	{Name: "initial-phase2-quorum", Default: "0", Kind: Number, Group: groupClustering,
		Meaning: "How many members with a vote must have a write on disk before it is acknowledged; as --initial-phase1-quorum. Synod's own.",
		set:     number(func(c *Config) *int { return &c.Phase2 }, 0, Founders)},
	{Name: "initial-cluster-state", Default: "new", Group: groupClustering,
		Meaning: "new for a founder; existing for a member that has been started before and must find its data.",
		set:     oneOf(func(c *Config) *string { return &c.InitialClusterState }, "new", "existing")},
	{Name: "initial-cluster-token", Default: "etcd-cluster", Group: groupClustering,
		Meaning: "Tells apart clusters that have the same addresses. The same on each founder.",
		set:     setInitialClusterToken},
	{Name: "initial-advertise-peer-urls", Default: "http://localhost:2380", Kind: List, Group: groupClustering,
		Meaning: "The URL at which other members reach this one, as in --initial-cluster. Exactly one.",
		set:     urls(advertisedURLs, func(c *Config) *[]url.URL { return &c.advertisePeer })},
	{Name: "advertise-client-urls", Default: "http://localhost:2379", Kind: List, Group: groupClustering,
		Meaning: "URLs at which clients reach this member. Required with --listen-client-urls.",
		set:     urls(advertisedURLs, func(c *Config) *[]url.URL { return &c.advertiseClient })},
	{Name: "strict-reconfig-check", Default: "true", Kind: Bool, Group: groupClustering,
		Meaning: "Refuse changes of the members while one of them cannot be reached, or has not started, as etcd does. Changes that would leave no quorum are always refused.",
		set:     boolean(func(c *Config) *bool { return &c.StrictReconfig })},
	{Name: "pre-vote", Default: "true", Kind: Bool, Group: groupClustering, Status: Harmless,
		Meaning: "A member that comes back never disturbs a working leader."},
	{Name: "auto-compaction-mode", Default: "periodic", Group: groupClustering,
		Meaning: "What --auto-compaction-retention counts: periodic for time, revision for revisions.",
		set:     oneOf(func(c *Config) *string { return &c.compactionMode }, "periodic", "revision")},
	{Name: "auto-compaction-retention", Default: "0", Group: groupClustering,
		Meaning: "How much history the leader keeps when it compacts by itself: hours or a duration such as 30m, or a number of revisions. 0: only clients compact. The same on every member.",
		set:     text(func(c *Config) *string { return &c.compactionRetention })},
	{Name: "v2-deprecation", Default: "write-only", Group: groupClustering, Status: Harmless,
		Meaning: "There never was a v2 store."},
	fixed(groupClustering, "discovery", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-token", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-endpoints", List, "", noDiscovery),
	fixed(groupClustering, "discovery-dial-timeout", Duration, "2s", noDiscovery),
	fixed(groupClustering, "discovery-request-timeout", Duration, "5s", noDiscovery),
	fixed(groupClustering, "discovery-keepalive-time", Duration, "2s", noDiscovery),
	fixed(groupClustering, "discovery-keepalive-timeout", Duration, "6s", noDiscovery),
	fixed(groupClustering, "discovery-insecure-transport", Bool, "true", noDiscovery),
	fixed(groupClustering, "discovery-insecure-skip-tls-verify", Bool, "false", noDiscovery),
	fixed(groupClustering, "discovery-cert", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-key", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-cacert", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-user", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-password", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-fallback", Text, "exit", noDiscovery),
	fixed(groupClustering, "discovery-proxy", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-srv", Text, "", noDiscovery),
	fixed(groupClustering, "discovery-srv-name", Text, "", noDiscovery),

	// Security.
	{Name: "cert-file", Group: groupSecurity,
		Meaning: "Certificate for https:// client URLs, PEM.",
		set:     text(func(c *Config) *string { return &c.ClientTLS.CertFile })},
	{Name: "key-file", Group: groupSecurity,
		Meaning: "Key of --cert-file, PEM.",
		set:     text(func(c *Config) *string { return &c.ClientTLS.KeyFile })},
	{Name: "trusted-ca-file", Group: groupSecurity,
		Meaning: "CA that signs the clients' certificates. Naming it demands one of each client.",
		set:     text(func(c *Config) *string { return &c.ClientTLS.TrustedCAFile })},
	{Name: "client-cert-auth", Default: "false", Kind: Bool, Group: groupSecurity,
		Meaning: "Demand a certificate of each client; needs --trusted-ca-file.",
		set:     boolean(func(c *Config) *bool { return &c.ClientTLS.ClientCertAuth })},
	{Name: "auto-tls", Default: "false", Kind: Bool, Group: groupSecurity,
		Meaning: "Serve https:// client URLs under a certificate made up at each start. It encrypts; it proves nothing.",
		set:     boolean(func(c *Config) *bool { return &c.ClientTLS.Auto })},
	{Name: "self-signed-cert-validity", Default: "1", Kind: Number, Group: groupSecurity,
		Meaning: "Years for which a certificate of --auto-tls or --peer-auto-tls is valid.",
		set:     number(func(c *Config) *int { return &c.selfSignedYears }, 1, 100)},
	{Name: "peer-cert-file", Group: groupSecurity,
		Meaning: "Certificate towards other members, as server and as client, PEM. Needed with https:// peer URLs.",
		set:     text(func(c *Config) *string { return &c.PeerTLS.CertFile })},
	{Name: "peer-key-file", Group: groupSecurity,
		Meaning: "Key of --peer-cert-file, PEM.",
		set:     text(func(c *Config) *string { return &c.PeerTLS.KeyFile })},
	{Name: "peer-trusted-ca-file", Group: groupSecurity,
		Meaning: "CA that signs the members' certificates. Needed with https:// peer URLs: members always verify each other.",
		set:     text(func(c *Config) *string { return &c.PeerTLS.TrustedCAFile })},
	{Name: "peer-client-cert-auth", Default: "false", Kind: Bool, Group: groupSecurity,
		Meaning: "Members always demand each other's certificate; this only says so, and needs --peer-trusted-ca-file.",
		set:     boolean(func(c *Config) *bool { return &c.PeerTLS.ClientCertAuth })},
	{Name: "peer-auto-tls", Default: "false", Kind: Bool, Group: groupSecurity,
		Meaning: "Speak TLS with other members under certificates made up at each start from --initial-cluster-token. It encrypts; it proves only that a member knows the token.",
		set:     boolean(func(c *Config) *bool { return &c.PeerTLS.Auto })},
	{Name: "cipher-suites", Kind: List, Group: groupSecurity,
		Meaning: "Cipher suites for TLS 1.2. Default: Go's choice.",
		set:     setCipherSuites},
	{Name: "tls-min-version", Default: "TLS1.2", Group: groupSecurity,
		Meaning: "Lowest TLS version for clients: TLS1.2 or TLS1.3. Members speak TLS1.3 with each other unless --tls-max-version forbids it.",
		set:     setTLSMinVersion},
	{Name: "tls-max-version", Group: groupSecurity,
		Meaning: "Highest TLS version: TLS1.2 or TLS1.3. Default: the highest there is.",
		set:     setTLSMaxVersion},
	fixed(groupSecurity, "client-cert-file", Text, "", "members never dial the client port"),
	fixed(groupSecurity, "client-key-file", Text, "", "members never dial the client port"),
	fixed(groupSecurity, "client-crl-file", Text, "", noRevocation),
	fixed(groupSecurity, "client-cert-allowed-hostname", List, "", noNames),
	fixed(groupSecurity, "peer-client-cert-file", Text, "", "--peer-cert-file serves both directions"),
	fixed(groupSecurity, "peer-client-key-file", Text, "", "--peer-key-file serves both directions"),
	fixed(groupSecurity, "peer-crl-file", Text, "", noRevocation),
	fixed(groupSecurity, "peer-cert-allowed-cn", List, "", noNames),
	fixed(groupSecurity, "peer-cert-allowed-hostname", List, "", noNames),
	fixed(groupSecurity, "peer-skip-client-san-verification", Bool, "false", "certificates of members are always verified in full"),
	fixed(groupSecurity, "cors", Text, "*", "HTTP answers carry no origin rules yet"),
	fixed(groupSecurity, "host-whitelist", Text, "*", "HTTP requests are not filtered by host name yet"),

	// Authentication.
	{Name: "auth-token", Default: "simple", Group: groupAuth,
		Meaning: "simple for tokens that the cluster remembers, or jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m for signed ones. The same on every member.",
		set:     setAuthToken},
	{Name: "bcrypt-cost", Default: "10", Kind: Number, Group: groupAuth,
		Meaning: "What checking a password costs, 4 to 31; one more doubles it. Applies to passwords that are set from now on.",
		set:     number(func(c *Config) *int { return &c.BcryptCost }, 4, 31)},
	{Name: "auth-token-ttl", Default: "300", Kind: Number, Group: groupAuth,
		Meaning: "Seconds that a simple token lives after its last use.",
		set:     seconds(func(c *Config) *time.Duration { return &c.AuthTokenTTL })},

	// Profiling and monitoring.
	{Name: "enable-pprof", Default: "false", Kind: Bool, Group: groupMonitoring,
		Meaning: "Serve Go's profiles under /debug/pprof/ beside the clients' HTTP.",
		set:     boolean(func(c *Config) *bool { return &c.EnablePprof })},
	{Name: "listen-metrics-urls", Kind: List, Group: groupMonitoring,
		Meaning: "Further URLs for /metrics and the health checks alone.",
		set:     urls(listenURLs, func(c *Config) *[]url.URL { return &c.ListenMetrics })},
	{Name: "metrics", Default: "basic", Group: groupMonitoring, Status: Fixed,
		Meaning: "there are no gRPC histograms yet"},

	// Logging.
	{Name: "log-level", Default: "info", Group: groupLogging,
		Meaning: "debug, info, warn, error, panic or fatal.",
		set:     setLogLevel},
	{Name: "log-outputs", Default: "default", Kind: List, Group: groupLogging,
		Meaning: "stderr, stdout and files to append to; default means stderr.",
		set:     setLogOutputs},
	{Name: "log-format", Default: "json", Group: groupLogging,
		Meaning: "json, or console for lines of key=value.",
		set:     oneOf(func(c *Config) *string { return &c.LogFormat }, "json", "console")},
	{Name: "logger", Default: "zap", Group: groupLogging, Status: Fixed,
		Meaning: "the log has the form of etcd's zap logger and no other"},
	{Name: "enable-log-rotation", Default: "false", Kind: Bool, Group: groupLogging, Status: Fixed,
		Meaning: "rotate log files with the system's own tools"},
	{Name: "log-rotation-config-json", Default: `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`, Group: groupLogging, Status: Harmless,
		Meaning: "Without effect, as --enable-log-rotation is refused."},
	{Name: "warning-unary-request-duration", Default: "300ms", Kind: Duration, Group: groupLogging, Status: Harmless,
		Meaning: "Slow requests show in the metrics, not in the log."},

	// Distributed tracing.
	fixed(groupTracing, "enable-distributed-tracing", Bool, "false", noTracing),
	harmless(groupTracing, "distributed-tracing-address", Text, "localhost:4317"),
	harmless(groupTracing, "distributed-tracing-service-name", Text, "etcd"),
	harmless(groupTracing, "distributed-tracing-instance-id", Text, ""),
	harmless(groupTracing, "distributed-tracing-sampling-rate", Number, "0"),

	// Features.
	fixed(groupFeatures, "corrupt-check-time", Duration, "0s", "members do not compare their stores yet"),
	{Name: "compact-hash-check-time", Default: "1m", Kind: Duration, Group: groupFeatures, Status: Harmless,
		Meaning: "Only a feature gate of etcd gives it a meaning."},
	{Name: "compaction-batch-limit", Default: "1000", Kind: Number, Group: groupFeatures, Status: Harmless,
		Meaning: "Compaction chooses its own steps and never stalls requests."},
	{Name: "compaction-sleep-interval", Default: "10ms", Kind: Duration, Group: groupFeatures, Status: Harmless,
		Meaning: "As --compaction-batch-limit."},
	{Name: "watch-progress-notify-interval", Former: "experimental-watch-progress-notify-interval", Default: "10m", Kind: Duration, Group: groupFeatures,
		Meaning: "How often idle watchers that ask for it are told how far they are; less than 100ms means 100ms.",
		set:     interval(func(c *Config) *time.Duration { return &c.ProgressInterval })},
	{Name: "warning-apply-duration", Default: "100ms", Kind: Duration, Group: groupFeatures, Status: Harmless,
		Meaning: "Slow requests show in the metrics, not in the log."},
	{Name: "bootstrap-defrag-threshold-megabytes", Default: "0", Kind: Number, Group: groupFeatures, Status: Harmless,
		Meaning: "The store reclaims its space as it goes."},
	{Name: "max-learners", Default: "1", Kind: Number, Group: groupFeatures,
		Meaning: "How many members without a vote there may be.",
		set:     number(func(c *Config) *int { return &c.MaxLearners }, 1, 1000)},
	{Name: "downgrade-check-time", Default: "5s", Kind: Duration, Group: groupFeatures, Status: Harmless,
		Meaning: "There are no downgrades to look out for."},

	// Unsafe features.
	fixed(groupUnsafe, "force-new-cluster", Bool, "false", "a minority is never declared a cluster"),
	fixed(groupUnsafe, "unsafe-no-fsync", Bool, "false", "an acknowledged write is always on disk"),
}

const (
	notAdjustable = "keepalive is not adjustable yet"
	noDiscovery   = "there is no discovery; list the members in --initial-cluster"
	noRevocation  = "revocation lists are not checked yet"
	noNames       = "names in certificates are not checked beyond TLS yet"
	noTracing     = "there is no distributed tracing"
)

func fixed(group, name string, kind Kind, value, why string) Flag {
	return Flag{Name: name, Default: value, Kind: kind, Group: group, Status: Fixed, Meaning: why}
}

// harmless is for the flags that only shape distributed tracing, which stays off.
func harmless(group, name string, kind Kind, value string) Flag {
	return Flag{Name: name, Default: value, Kind: kind, Group: group, Status: Harmless, Meaning: "Without effect: " + noTracing + "."}
}
