package serverconfig

import (
	"crypto/tls"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the generated pages")

func TestFlagsReachTheConfig(t *testing.T) {
	three := "--initial-cluster=a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"
	for _, test := range []struct {
		args  string
		field func(*Config) any
		want  any
	}{
		{"", func(c *Config) any { return c.Name }, "default"},
		{"--name a", func(c *Config) any { return c.Name }, "a"},
		{"--name=a", func(c *Config) any { return c.Name }, "a"},
		{"-name a", func(c *Config) any { return c.Name }, "a"},
		{"-name=a", func(c *Config) any { return c.Name }, "a"},
		{"--name=a --name=a", func(c *Config) any { return c.Name }, "a"},
		{"", func(c *Config) any { return c.DataDir }, "default.synod"},
		{"--name a", func(c *Config) any { return c.DataDir }, "a.synod"},
		{"--data-dir=/d", func(c *Config) any { return c.DataDir }, "/d"},
		{"--data-dir=/d", (*Config).logDir, "/d/log"},
		{"--data-dir=/d", (*Config).storeDir, "/d/kv"},
		{"--data-dir=/d --wal-dir=/w", (*Config).logDir, "/w"},
		{"--heartbeat-interval=50", func(c *Config) any { return c.Heartbeat }, 50 * time.Millisecond},
		{"", func(c *Config) any { return c.ElectionTimeout }, time.Second},
		{"--election-timeout 2500", func(c *Config) any { return c.ElectionTimeout }, 2500 * time.Millisecond},
		{"--max-request-bytes=33554432", func(c *Config) any { return c.MaxRequestBytes }, 32 << 20},
		{"", func(c *Config) any { return c.MaxRequestBytes }, 1572864},
		{"--max-txn-ops=5", func(c *Config) any { return c.MaxTxnOps }, 5},
		{"--max-concurrent-streams=7", func(c *Config) any { return c.MaxConcurrentStreams }, uint32(7)},
		{"--enable-pprof", func(c *Config) any { return c.EnablePprof }, true},
		{"--enable-pprof=true", func(c *Config) any { return c.EnablePprof }, true},
		{"--enable-pprof=1", func(c *Config) any { return c.EnablePprof }, true},
		{"-enable-pprof=F", func(c *Config) any { return c.EnablePprof }, false},
		{"--log-level=warn", func(c *Config) any { return c.LogLevel.String() }, "WARN"},
		{"--log-outputs=stderr,/x", func(c *Config) any { return c.LogOutputs }, []string{"stderr", "/x"}},
		{"", func(c *Config) any { return c.ProgressInterval }, 10 * time.Minute},
		{"--watch-progress-notify-interval=150ms", func(c *Config) any { return c.ProgressInterval }, 150 * time.Millisecond},
		{"--experimental-watch-progress-notify-interval=1s", func(c *Config) any { return c.ProgressInterval }, time.Second},
		{"", func(c *Config) any { return c.AuthToken }, "simple"},
		{"", func(c *Config) any { return c.CompactionPeriod + time.Duration(c.CompactionRevisions) }, time.Duration(0)},
		{"--cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", func(c *Config) any { return c.tlsLimits.cipherSuites[0] }, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
		{"--auto-compaction-retention=2", func(c *Config) any { return c.CompactionPeriod }, 2 * time.Hour},
		{"--auto-compaction-retention=8784h", func(c *Config) any { return c.CompactionPeriod }, 8784 * time.Hour},
		{"--auto-compaction-retention=1s", func(c *Config) any { return c.CompactionPeriod }, time.Second},
		{"--auto-compaction-mode=revision --auto-compaction-retention=1000", func(c *Config) any { return c.CompactionRevisions }, int64(1000)},
		{"--listen-client-http-urls=http://127.0.0.1:9", func(c *Config) any { return c.ListenClientHTTP[0].Host }, "127.0.0.1:9"},
		{"--feature-gates=LeaseCheckpoint=true,PriorityRequest=1,CompactHashCheck=false", func(c *Config) any { return len(c.Warnings) }, 0},
		{"--feature-gates=CompactHashCheck=true,InitialCorruptCheck=true", func(c *Config) any { return len(c.Warnings) }, 1},
		{"--corrupt-check-time=90m", func(c *Config) any { return c.CorruptCheckTime }, 90 * time.Minute},
		{"--auth-token=jwt,sign-method=RS256", func(c *Config) any { return c.AuthToken }, "jwt,sign-method=RS256"},
		{"--auth-token-ttl=60", func(c *Config) any { return c.AuthTokenTTL }, time.Minute},
		{"--bcrypt-cost=4", func(c *Config) any { return c.BcryptCost }, 4},
		{"--version", func(c *Config) any { return c.ShowVersion }, true},
		{"", func(c *Config) any { return c.AdvertiseClientURLs }, []string{"http://localhost:2379"}},
		{"--listen-client-urls=http://0.0.0.0:1,http://[::1]:2 --advertise-client-urls=http://b:2,http://a:1",
			func(c *Config) any { return c.AdvertiseClientURLs }, []string{"http://a:1", "http://b:2"}},
		{"--listen-client-urls=unix:///run/m1 --advertise-client-urls=unix:///run/m1",
			func(c *Config) any { _, address := ListenAddress(c.ListenClient[0]); return address }, "/run/m1"},
		{"--listen-client-urls=http://127.0.0.1:0,http://0.0.0.0:0 --advertise-client-urls=http://h:1", func(c *Config) any { return len(c.ListenClient) }, 2},
		{"--listen-client-urls=http://127.0.0.1:1,https://127.0.0.1:1 --advertise-client-urls=http://h:1 --auto-tls", func(c *Config) any { return len(c.ListenClient) }, 2},
		{"--listen-peer-urls=http://127.0.0.1:1,unix://p", func(c *Config) any { return len(c.ListenPeer) }, 2},
		{"--listen-peer-urls=unix://p:1 --initial-advertise-peer-urls=unix://p:1", func(c *Config) any { return DialAddress(c.Self.PeerURL) }, "unix:p:1"},
		{"", func(c *Config) any { return DialAddress(c.Self.PeerURL) }, "localhost:2380"},
		{"", func(c *Config) any { return c.KeepAlive }, KeepAlive{5 * time.Second, 2 * time.Hour, 20 * time.Second}},
		{"--grpc-keepalive-min-time=1s --grpc-keepalive-interval=0s", func(c *Config) any { return c.KeepAlive }, KeepAlive{time.Second, 0, 20 * time.Second}},
		{"--cors=http://a,http://b", func(c *Config) any { return c.Origins }, []string{"http://a", "http://b"}},
		{"--host-whitelist=a", func(c *Config) any { return c.Hosts }, []string{"a"}},
		{"--metrics=extensive", func(c *Config) any { return c.ExtensiveMetrics }, true},
		{"", func(c *Config) any { return c.LogRotation }, (*LogRotation)(nil)},
		{"--enable-log-rotation --log-outputs=stderr,f", func(c *Config) any { return *c.LogRotation }, LogRotation{MaxSize: 100}},
		{"", func(c *Config) any { return c.Tracing }, (*Tracing)(nil)},
		{"--enable-distributed-tracing --distributed-tracing-sampling-rate=500000", func(c *Config) any { return *c.Tracing }, Tracing{"localhost:4317", "etcd", "", 0.5}},
		{"--warning-unary-request-duration=1s", func(c *Config) any { return c.SlowRequest }, time.Second},
		{"--warning-apply-duration=1s", func(c *Config) any { return c.SlowApply }, time.Second},
		{"", func(c *Config) any { return c.Self.PeerURL.String() }, "http://localhost:2380"},
		{"", func(c *Config) any { return len(c.Members) }, 1},
		{"--name b " + three + " --initial-advertise-peer-urls=http://127.0.0.1:2", func(c *Config) any { return c.Self.Name }, "b"},
		{"--name b " + three + " --initial-advertise-peer-urls=http://127.0.0.1:2", func(c *Config) any { return len(c.Members) }, 3},
	} {
		c, err := Parse("synod", strings.Fields(test.args), nil)
		if err != nil {
			t.Errorf("%q: %v", test.args, err)
			continue
		}
		if got := test.field(c); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %v, want %v", test.args, got, test.want)
		}
	}
}

func (c *Config) logDir() any   { return c.LogDir() }
func (c *Config) storeDir() any { return c.StoreDir() }

func TestUnderTheNameEtcdTheDataDirectoryHasEtcdsSuffix(t *testing.T) {
	c, err := Parse("etcd", []string{"--name=m"}, nil)
	if err != nil || c.DataDir != "m.etcd" {
		t.Fatalf("%v, %v", c, err)
	}
}

// badCommandLines maps a command line to what its one-line error must say.
var badCommandLines = []struct{ args, want string }{
	{"--nome=a", "unknown flag --nome"},
	{"--listen_client_urls=x", "did you mean --listen-client-urls?"},
	{"serve", `unexpected argument "serve"`},
	{"--name=a bar", `unexpected argument "bar"`},
	{"--enable-pprof true", `unexpected argument "true"`},
	{"--", "unexpected argument"},
	{"-", "unexpected argument"},
	{"---name=a", "unexpected argument"},
	{"--=a", "unexpected argument"},
	{"--name", "--name needs a value"},
	{"--name=a --name=b", "--name is given twice"},
	{"--name=", "--name is empty"},
	{"--heartbeat-interval=x", "whole number"},
	{"--heartbeat-interval=0", "milliseconds"},
	{"--heartbeat-interval=-1", "whole number, 0 or more"},
	{"--heartbeat-interval=100ms", "whole number"},
	{"--heartbeat-interval=4", "--heartbeat-interval 4 is too short"},
	{"--heartbeat-interval=201", "at least 5 times"},
	{"--election-timeout=499", "at least 5 times"},
	{"--election-timeout=50001", "too long"},
	{"--election-timeout=99999999999999999999", "whole number"},
	{"--max-request-bytes=0", "from 1 to 33554432"},
	{"--max-request-bytes=33554433", "from 1 to 33554432"},
	{"--max-concurrent-streams=4294967296", "from 1 to 4294967295"},
	{"--grpc-keepalive-min-time=5", "duration"},
	{"--grpc-keepalive-interval=-1s", "duration"},
	{"--enable-pprof=maybe", "true or false"},
	{"--auth-token=jws", "use simple, or jwt,"},
	{"--auth-token-ttl=0", "seconds, from 1"},
	{"--bcrypt-cost=32", "from 4 to 31"},
	{"--log-level=loud", "use debug, info"},
	{"--log-outputs=", "name"},
	{"--log-outputs=default,stderr", "stands alone"},
	{"--log-outputs=systemd/journal", "use stderr"},
	{"--log-format=xml", `use "json" or "console"`},
	{"--logger=capnslog", "not supported"},
	{"--wal-dir=d --data-dir=d/", "--wal-dir is the data directory itself"},

	{"--listen-client-urls=", "--listen-client-urls is empty"},
	{"--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls is required"},
	{"--listen-client-urls=http://example.com:1 --advertise-client-urls=http://example.com:1", "not a name"},
	{"--listen-client-urls=http://:1 --advertise-client-urls=http://h:1", "not a name"},
	{"--listen-client-urls=127.0.0.1:1 --advertise-client-urls=http://h:1", "not a URL"},
	{"--listen-client-urls=tcp://127.0.0.1:1 --advertise-client-urls=http://h:1", "scheme"},
	{"--listen-client-urls=http://127.0.0.1 --advertise-client-urls=http://h:1", "no port"},
	{"--listen-client-urls=http://127.0.0.1: --advertise-client-urls=http://h:1", "no port"},
	{"--listen-client-urls=http://127.0.0.1:65536 --advertise-client-urls=http://h:1", "no port; use 1"},
	{"--listen-client-urls=http://127.0.0.1:x --advertise-client-urls=http://h:1", "not a URL"},
	{"--listen-client-urls=http://127.0.0.1:1/v3 --advertise-client-urls=http://h:1", "more than scheme"},
	{"--listen-client-urls=http://127.0.0.1:1?a --advertise-client-urls=http://h:1", "more than scheme"},
	{"--listen-client-urls=http://u@127.0.0.1:1 --advertise-client-urls=http://h:1", "more than scheme"},
	{"--listen-client-urls=unix:// --advertise-client-urls=http://h:1", "no socket"},
	{"--listen-client-urls=http://127.0.0.1:1,http://127.0.0.1:1 --advertise-client-urls=http://h:1", "listed twice"},
	{"--advertise-client-urls=http://:1", "has no host"},
	{"--listen-peer-urls=", "--listen-peer-urls is empty"},
	{"--listen-peer-urls=http://127.0.0.1:1,https://127.0.0.1:2 --peer-cert-file=c --peer-key-file=k --peer-trusted-ca-file=ca", "mix http and https"},
	{"--listen-peer-urls=http://host:1", "not a name"},
	{"--initial-advertise-peer-urls=http://a:1,http://b:1", "exactly one"},
	{"--initial-advertise-peer-urls=http://localhost:0", "nobody reaches port 0"},
	{"--listen-peer-urls=http://localhost:2379", "both want localhost:2379"},
	{"--listen-metrics-urls=http://localhost:2379", "both want localhost:2379"},

	{"--initial-cluster=a", "not of the form"},
	{"--initial-cluster==http://h:1", "not of the form"},
	{"--initial-cluster=a=", "not of the form"},
	{"--initial-cluster=a=http://h", "no port"},
	{"--initial-cluster=a=http://h:1", `does not name this member, "default"`},
	{"--name=b --initial-cluster=a=http://h:1", `does not name this member, "b"`},
	{"--name=a --initial-cluster=a=http://h:1", "differs from --initial-cluster"},
	{"--name=a --initial-cluster=a=http://h:1,a=http://h:2", "listed twice"},
	{"--name=a --initial-cluster=a=http://h:1,b=http://h:1", "same URL"},
	{"--name=a --initial-cluster=a=http://h:1,b=https://h:2", "differ in whether they speak TLS"},
	{"--name=a --initial-cluster=a=http://h:1,b=unixs://h", "differ in whether they speak TLS"},
	{"--initial-cluster=default=http://localhost:2380,b=http://h:1", "--name is not set"},
	{"--initial-cluster-roles=default", "not of the form name=role"},
	{"--initial-cluster-roles=b=witness", `does not name "b"`},
	{"--initial-cluster-roles=default=proposer", "a proposer alone"},
	{"--initial-cluster-roles=default=voter", `"voter" is no role`},
	{"--initial-cluster-roles=default=full,default=witness", "listed twice"},
	{"--initial-cluster-roles=default=replica", "at least one acceptor"},
	{"--initial-cluster-roles=default=acceptor+proposer", "nobody could lead"},
	{"--initial-phase1-quorum=2 --initial-phase2-quorum=1", "do not always meet"},
	{"--initial-phase1-quorum=1", "do not always meet"},
	{"--initial-phase2-quorum=32", "from 0 to 31"},
	{"--name=a --initial-advertise-peer-urls=http://a:1 --initial-cluster=a=http://a:1,b=http://b:1,c=http://c:1,d=http://d:1 --initial-phase1-quorum=2 --initial-phase2-quorum=2", "do not always meet"},
	{"--name=a --initial-advertise-peer-urls=http://a:1 --initial-cluster=a=http://a:1,b=http://b:1,c=http://c:1 --initial-cluster-roles=b=witness,c=witness", "it takes at least 2 learners"},
	{"--initial-cluster-state=old", `use "new" or "existing"`},
	{"--initial-cluster-token=", "give a token"},

	{"--cert-file=c", "go together"},
	{"--key-file=k", "go together"},
	{"--cert-file=c --key-file=k", "no effect"},
	{"--auto-tls", "no effect"},
	{"--client-cert-auth", "needs --trusted-ca-file"},
	{"--auto-tls --cert-file=c --key-file=k", "exclude each other"},
	{"--listen-client-urls=https://127.0.0.1:1 --advertise-client-urls=https://h:1", "needs --cert-file"},
	{"--listen-metrics-urls=https://127.0.0.1:1", "needs --cert-file"},
	{"--peer-cert-file=c", "--peer-cert-file and --peer-key-file go together"},
	{"--peer-cert-file=c --peer-key-file=k --peer-trusted-ca-file=ca", "no effect"},
	{"--listen-peer-urls=https://127.0.0.1:1 --initial-advertise-peer-urls=https://127.0.0.1:1", "needs --peer-cert-file"},
	{"--listen-peer-urls=https://127.0.0.1:1 --initial-advertise-peer-urls=https://127.0.0.1:1 --peer-cert-file=c --peer-key-file=k", "--peer-trusted-ca-file is missing"},
	{"--listen-peer-urls=https://127.0.0.1:1 --peer-cert-file=c --peer-key-file=k --peer-trusted-ca-file=ca", "mix http and https"},
	{"--peer-client-cert-auth", "needs --peer-trusted-ca-file"},
	{"--peer-auto-tls", "no effect"},
	{"--peer-auto-tls --peer-cert-file=c --peer-key-file=k", "exclude each other"},
	{"--feature-gates=Sharding=true", "those of etcd 3.7 are AllAlpha"},
	{"--feature-gates=LeaseCheckpoint", "give the feature gate LeaseCheckpoint as"},
	{"--feature-gates=LeaseCheckpoint=maybe", "give the feature gate LeaseCheckpoint as"},
	{"--auto-compaction-mode=both", `use "periodic" or "revision"`},
	{"--auto-compaction-retention=-1", "give hours or a duration"},
	{"--auto-compaction-retention=1d", "give hours or a duration"},
	{"--auto-compaction-retention=10ms", "from 1s"},
	{"--auto-compaction-retention=8785", "give hours or a duration"},
	{"--auto-compaction-retention=9999999999999999999", "give hours or a duration"},
	{"--auto-compaction-mode=revision --auto-compaction-retention=5m", "give a number of revisions"},
	{"--listen-client-http-urls=http://localhost:2379", "both want localhost:2379"},
	{"--listen-client-http-urls=https://localhost:1", "needs --cert-file"},
	{"--tls-min-version=TLS1.1", "use TLS1.2 or TLS1.3"},
	{"--tls-min-version=TLS1.3 --tls-max-version=TLS1.2", "below"},
	{"--tls-min-version=TLS1.3 --cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "no effect"},
	{"--cipher-suites=TLS_RSA_WITH_RC4_128_SHA", "unknown or insecure"},
	{"--peer-client-cert-file=c", "go together"},
	{"--peer-client-cert-file=c --peer-client-key-file=k", "needs --peer-cert-file"},
	{"--peer-cert-allowed-cn=a --peer-cert-allowed-hostname=b", "exclude each other"},
	{"--peer-cert-allowed-cn=a", "give --peer-trusted-ca-file"},
	{"--client-cert-allowed-hostname=a", "give --trusted-ca-file"},
	{"--client-crl-file=l", "--client-crl-file needs --trusted-ca-file"},
	{"--peer-crl-file=l", "--peer-crl-file needs --peer-trusted-ca-file"},
	{"--metrics=all", "use basic or extensive"},
	{"--enable-log-rotation", "no file is among --log-outputs"},
	{"--enable-log-rotation --log-outputs=f --log-rotation-config-json={", "write it like the default"},
	{"--enable-log-rotation --log-outputs=f --log-rotation-config-json={\"max\":1}", "write it like the default"},
	{"--enable-log-rotation --log-outputs=f --log-rotation-config-json={\"maxage\":-1}", "nothing may be negative"},
	{"--distributed-tracing-sampling-rate=1000001", "0 to 1000000"},
	{"--self-signed-cert-validity=0", "from 1 to 100"},

	{"--config-file=/nonexistent/synod.yaml", "cannot read the configuration file"},
}

func TestBadCommandLinesAreRefusedInOneLine(t *testing.T) {
	for _, test := range badCommandLines {
		_, err := Parse("synod", strings.Fields(test.args), nil)
		switch {
		case err == nil:
			t.Errorf("%q is accepted", test.args)
		case !strings.Contains(err.Error(), test.want):
			t.Errorf("%q: %q does not say %q", test.args, err, test.want)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("%q: %q is more than one line", test.args, err)
		}
	}
}

func TestEveryFlagOfEtcdIsTakenAtItsDefaultAndNothingElseSilently(t *testing.T) {
	for i := range Flags {
		f := &Flags[i]
		if f.Name == "version" || f.Name == "config-file" || f.Default == "" && f.Status == Effective {
			continue
		}
		args := []string{"--" + f.Name + "=" + f.Default}
		if f.Name == "listen-client-urls" {
			args = append(args, "--advertise-client-urls=http://localhost:2379")
		}
		if _, err := Parse("synod", args, nil); err != nil {
			t.Errorf("the default of --%s is refused: %v", f.Name, err)
		}
		other := map[Kind]string{Text: "other", List: "other", Bool: "true", Number: "77", Integer: "77", Duration: "77s"}[f.Kind]
		if f.Kind == Bool && f.Default == "true" {
			other = "false"
		}
		_, err := Parse("synod", []string{"--" + f.Name + "=" + other}, nil)
		switch f.Status {
		case Fixed:
			if err == nil || !strings.Contains(err.Error(), "leave it out or set it to") {
				t.Errorf("--%s=%s is fixed and must be refused with advice; got %v", f.Name, other, err)
			}
		case Harmless:
			if err != nil {
				t.Errorf("--%s=%s is harmless and must be taken: %v", f.Name, other, err)
			}
			if f.Kind != Text && f.Kind != List {
				if _, err := Parse("synod", []string{"--" + f.Name + "=?"}, nil); err == nil {
					t.Errorf("--%s=? is malformed and taken", f.Name)
				}
			}
		}
	}
}

func TestTheTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for i := range Flags {
		f := &Flags[i]
		if seen[f.Name] {
			t.Errorf("--%s stands twice in the table", f.Name)
		}
		seen[f.Name] = true
		early := f.Name == "version" || f.Name == "config-file"
		if (f.set != nil) != (f.Status == Effective && !early) {
			t.Errorf("--%s: an effective flag has a setter, and no other has", f.Name)
		}
		if f.Meaning == "" || f.Group == "" {
			t.Errorf("--%s is not described", f.Name)
		}
		if f.Status != Fixed && !strings.HasSuffix(f.Meaning, ".") {
			t.Errorf("--%s: its meaning is no sentence", f.Name)
		}
	}
	if !strings.Contains(Help(), "--unsafe-no-fsync") {
		t.Error("the help lacks the last flag")
	}
}

func TestHelpIsAskedForInEveryWayThatEtcdKnows(t *testing.T) {
	for _, arg := range []string{"-h", "--h", "-help", "--help"} {
		if _, err := Parse("synod", []string{"--name=x", arg}, nil); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestFlagsPageIsGeneratedFromTheTable(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "flags.md")
	if *update {
		if err := os.WriteFile(page, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != Markdown() {
		t.Errorf("%s differs from the table; run: go test ./internal/serverconfig -run FlagsPage -update", page)
	}
}
