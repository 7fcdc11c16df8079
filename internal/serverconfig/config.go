// Package serverconfig turns the flags, the environment or the configuration file of `synod serve` into one checked Config.
// The notions, names and syntax are etcd's wherever the notion is the same. Parsing opens no file but the
// configuration file and creates nothing.
package serverconfig

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"time"
)

// ErrHelp means that help was asked for.
var ErrHelp = errors.New("help requested")

// Config is what one member is to be, complete and free of contradictions.
type Config struct {
	Name    string
	DataDir string
	WALDir  string // the log's directory, if it is not to be under DataDir

	InitialClusterToken string
	InitialClusterState string   // "new" or "existing"
	ReplaceWiped        bool     // a member that has lost its disk is invited anew by itself
	Members             []Member // the founders, in the order of their IDs
	Self                Member
	Phase1, Phase2      int // sizes of quorums; both 0 stand for majorities

	ListenPeer          []url.URL // all with TLS or all without
	ListenClient        []url.URL
	ListenClientHTTP    []url.URL // further ones
	ListenMetrics       []url.URL
	AdvertiseClientURLs []string

	Heartbeat       time.Duration
	ElectionTimeout time.Duration

	ProgressInterval time.Duration // of watches
	CorruptCheckTime time.Duration // between two readings of the whole store; 0: never

	// What the leader keeps of history when it compacts by itself; at most one is not 0.
	CompactionPeriod    time.Duration
	CompactionRevisions int64

	LogBytes     int64 // kept of the replicated log, for members that lag
	SnapshotRate int64 // bytes a second of snapshots sent to other members
	ScrubRate    int64 // bytes a second that are read again in the background; 0 for none

	MaxRequestBytes      int
	MaxTxnOps            int
	MaxConcurrentStreams uint32

	AuthToken    string        // "simple", or "jwt," and its options
	AuthTokenTTL time.Duration // of simple tokens
	BcryptCost   int

	ClientTLS TLS
	PeerTLS   TLS

	LogLevel    slog.Level
	LogFormat   string // "json" or "console"
	LogOutputs  []string
	LogRotation *LogRotation // nil: files grow
	SlowRequest time.Duration
	SlowApply   time.Duration // from which a call of the store is logged; 0 for never

	EnablePprof      bool
	ExtensiveMetrics bool
	Gateway          bool
	QuotaBytes       int64

	KeepAlive    KeepAlive
	Origins      []string // of web pages that may use the HTTP side; "*" for any
	Hosts        []string // that HTTP requests without TLS may be meant for; "*" or none for any
	ReusePort    bool
	ReuseAddress bool

	Tracing *Tracing // nil for none

	StrictReconfig bool
	MaxLearners    int

	ShowVersion bool
	Warnings    []string // what the operator should know although it is no error

	// Given as lists or text, checked together once all flags are known.
	initialCluster  string
	initialRoles    string
	advertisePeer   []url.URL
	advertiseClient []url.URL
	tlsLimits       tlsLimits

	compactionMode      string // "periodic" or "revision"
	compactionRetention string

	selfSignedYears int // how long a certificate of --auto-tls is valid

	rotate         bool
	rotationConfig string
	trace          bool
	tracing        Tracing
}

// KeepAlive says how clients' connections are kept alive and how often clients may ask for it. 0 is gRPC's own default.
type KeepAlive struct {
	MinTime  time.Duration // between a client's pings
	Interval time.Duration // of silence before the server pings
	Timeout  time.Duration // for the answer
}

// LogRotation says when a log file is set aside, and what becomes of it; 0 is no bound.
type LogRotation struct {
	MaxSize    int  `json:"maxsize"`    // MiB; 0 is 100
	MaxAge     int  `json:"maxage"`     // days that an old file is kept
	MaxBackups int  `json:"maxbackups"` // old files that are kept
	LocalTime  bool `json:"localtime"`  // in the names of old files, in place of UTC
	Compress   bool `json:"compress"`
}

// Tracing says where spans go.
type Tracing struct {
	Address    string // host:port of an OTLP collector
	Service    string
	InstanceID string  // empty for none
	Sampled    float64 // share of the requests whose caller does not decide, 0 to 1
}

// LogDir is the directory of the replicated log.
func (c *Config) LogDir() string {
	if c.WALDir != "" {
		return c.WALDir
	}
	return filepath.Join(c.DataDir, "log")
}

// StoreDir is the directory of the key-value store.
func (c *Config) StoreDir() string { return filepath.Join(c.DataDir, "kv") }

// Parse reads a command line (without the program's name) and the environment ("NAME=value") into a Config.
// program, "synod" or "etcd", gives the default data directory its suffix.
// It returns ErrHelp, or an error of one line that says what to do.
func Parse(program string, args, environ []string) (*Config, error) {
	given, err := fromFlags(args)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	if given.isTrue("version") {
		c.ShowVersion = true
		return c, nil
	}
	file := given.configFile(environ)
	if file == "" {
		if err := given.addEnvironment(environ, c); err != nil {
			return nil, err
		}
	} else {
		if delete(given, "config-file"); len(given) > 0 {
			c.warn("%s rules alone: the other flags on the command line are ignored", file)
		}
		if given, err = fromFile(file); err != nil {
			return nil, err
		}
	}
	if err := c.fill(given); err != nil {
		return nil, err
	}
	if c.DataDir == "" {
		c.DataDir = c.Name + "." + program
	}
	return c, c.check(given)
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// fill lets every flag take effect, with the value that was given or else its default.
func (c *Config) fill(given settings) error {
	for i := range Flags {
		f := &Flags[i]
		s, ok := given[f.Name]
		if !ok {
			s = setting{text: f.Default, origin: "--" + f.Name}
		}
		if err := f.accept(c, s.text, s.origin); err != nil {
			return err
		}
	}
	return nil
}

// check finds what no single flag can know: contradictions among them.
func (c *Config) check(given settings) error {
	if c.Name == "" {
		return errors.New("--name is empty; give this member a name")
	}
	if err := c.checkTimes(); err != nil {
		return err
	}
	if err := c.checkCompaction(); err != nil {
		return err
	}
	if err := c.checkListeners(given); err != nil {
		return err
	}
	if err := c.checkMembership(given); err != nil {
		return err
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	if err := c.checkLogRotation(); err != nil {
		return err
	}
	if c.trace {
		c.Tracing = &c.tracing
	}
	if c.WALDir != "" && filepath.Clean(c.WALDir) == filepath.Clean(c.DataDir) {
		return errors.New("--wal-dir is the data directory itself; choose another directory or leave it out")
	}
	return nil
}

const electionLimit = 50 * time.Second // as in etcd

func (c *Config) checkTimes() error {
	switch {
	case c.Heartbeat < 5*time.Millisecond:
		return fmt.Errorf("--heartbeat-interval %d is too short; give at least 5 (ms)", c.Heartbeat.Milliseconds())
	case c.ElectionTimeout < 5*c.Heartbeat:
		return fmt.Errorf("--election-timeout %d is too short for --heartbeat-interval %d; give at least 5 times as much",
			c.ElectionTimeout.Milliseconds(), c.Heartbeat.Milliseconds())
	case c.ElectionTimeout > electionLimit:
		return fmt.Errorf("--election-timeout %d is too long; give at most %d (ms)",
			c.ElectionTimeout.Milliseconds(), electionLimit.Milliseconds())
	}
	return nil
}

func (c *Config) checkListeners(given settings) error {
	if len(c.ListenClient) == 0 {
		return errors.New("--listen-client-urls is empty; name at least one URL to serve clients on")
	}
	if given.has("listen-client-urls") && !given.has("advertise-client-urls") {
		return errors.New("--advertise-client-urls is required when --listen-client-urls is set; give the URLs under which clients reach this member")
	}
	if len(c.ListenPeer) == 0 {
		return errors.New("--listen-peer-urls is empty; name at least one URL to listen for other members on")
	}
	if len(c.advertisePeer) != 1 {
		return fmt.Errorf("--initial-advertise-peer-urls %q: Synod advertises exactly one peer URL; name one", joinURLs(c.advertisePeer))
	}
	return c.checkDistinctListeners()
}

// checkDistinctListeners refuses one address for two purposes before the operating system does it less clearly.
func (c *Config) checkDistinctListeners() error {
	used := map[string]string{}
	for _, group := range []struct {
		flag   string
		urls   []url.URL
		shared bool // with TLS and without on one port
	}{
		{"--listen-peer-urls", c.ListenPeer, false},
		{"--listen-client-urls", c.ListenClient, true},
		{"--listen-client-http-urls", c.ListenClientHTTP, true},
		{"--listen-metrics-urls", c.ListenMetrics, false},
	} {
		for _, u := range group.urls {
			if anyPort(u) {
				continue
			}
			_, address := ListenAddress(u)
			if other, taken := used[address]; taken {
				if other == group.flag && group.shared {
					continue // once with TLS and once without, since no URL is listed twice
				}
				return fmt.Errorf("%s and %s both want %s; give each its own port", other, group.flag, address)
			}
			used[address] = group.flag
		}
	}
	return nil
}

func (c *Config) checkMembership(given settings) (err error) {
	text := c.initialCluster
	if text == "" {
		text = c.Name + "=" + c.advertisePeer[0].String() // alone
	}
	if c.Members, err = parseCluster(text, c.InitialClusterToken); err != nil {
		return fmt.Errorf("--initial-cluster %q: %w", text, err)
	}
	self := slices.IndexFunc(c.Members, func(m Member) bool { return m.Name == c.Name })
	if self < 0 {
		return fmt.Errorf("--initial-cluster %q does not name this member, %q; add %s=%s or correct --name",
			text, c.Name, c.Name, &c.advertisePeer[0])
	}
	if err := c.checkRoles(); err != nil {
		return err
	}
	c.Self = c.Members[self]
	if c.Self.PeerURL != c.advertisePeer[0] {
		return fmt.Errorf("--initial-advertise-peer-urls %s differs from --initial-cluster, where %s is at %s; make them equal",
			&c.advertisePeer[0], c.Name, &c.Self.PeerURL)
	}
	if c.Name == defaultName && len(c.Members) > 1 && !given.has("name") {
		return errors.New("--name is not set; in a cluster of several give each member a name of its own")
	}
	c.AdvertiseClientURLs = urlStrings(c.advertiseClient)
	return nil
}

const defaultName = "default"
