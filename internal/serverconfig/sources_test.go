package serverconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFlagComesBeforeTheEnvironmentAndThatBeforeTheDefault(t *testing.T) {
	for _, test := range []struct {
		args, environ string
		want          string
		warned        bool
	}{
		{"", "", "default", false},
		{"", "ETCD_NAME=e", "e", false},
		{"", "SYNOD_NAME=s", "s", false},
		{"", "SYNOD_NAME=s ETCD_NAME=s", "s", false},
		{"", "ETCD_NAME=", "default", false},
		{"--name=f", "ETCD_NAME=e", "f", true},
		{"--name=f", "SYNOD_NAME=e", "f", true},
		{"--name=f", "ETCD_NAME=f", "f", false},
		{"", "ETCD_VERSION=3.5.0 ETCD_VERIFY=all ETCD_UNSUPPORTED_ARCH=x", "default", false},
		{"", "ETCD_SERVICE_HOST=1 ETCD_PORT=tcp://1 ETCD_PORT_2379_TCP_ADDR=1 ETCD_CLIENT_SERVICE_PORT_HTTP=1", "default", false},
		{"", "ETCDCTL_API=3 NAME=x", "default", false},
	} {
		c, err := Parse("synod", strings.Fields(test.args), strings.Fields(test.environ))
		if err != nil {
			t.Errorf("%q with %q: %v", test.args, test.environ, err)
			continue
		}
		if c.Name != test.want || len(c.Warnings) > 0 != test.warned {
			t.Errorf("%q with %q: name %q, warnings %q", test.args, test.environ, c.Name, c.Warnings)
		}
	}
}

func TestEveryFlagHasItsVariables(t *testing.T) {
	for i := range Flags {
		if f := &Flags[i]; f.Status == Fixed {
			for _, variable := range f.environment() {
				if _, err := Parse("synod", nil, []string{variable + "=?"}); err == nil {
					t.Errorf("%s is overlooked", variable)
				}
			}
		}
	}
	c, err := Parse("synod", nil, []string{"ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:7", "SYNOD_ADVERTISE_CLIENT_URLS=http://h:7"})
	if err != nil || c.ListenClient[0].Host != "127.0.0.1:7" || c.AdvertiseClientURLs[0] != "http://h:7" {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestBadEnvironmentsAreRefused(t *testing.T) {
	for _, test := range []struct{ environ, want string }{
		{"ETCD_NOME=x", "ETCD_NOME belongs to no flag"},
		{"SYNOD_NOME=x", "SYNOD_NOME belongs to no flag"},
		{"SYNOD_NAME=a ETCD_NAME=b", "contradicts"},
		{"ETCD_ENABLE_PPROF=x", `ETCD_ENABLE_PPROF "x"`},
		{"ETCD_UNSAFE_NO_FSYNC=true", "not supported"},
		{"SYNOD_CONFIG_FILE=/nonexistent/synod.yaml", "cannot read"},
	} {
		_, err := Parse("synod", nil, strings.Fields(test.environ))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v does not say %q", test.environ, err, test.want)
		}
	}
}

func TestAConfigurationFileRulesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.conf.yml")
	content := `
name: filed
data-dir: /d
wal-dir:
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
advertise-client-urls: http://h:1
heartbeat-interval: 50
grpc-keepalive-min-time: 5000000000
grpc-keepalive-timeout: 20s
quota-backend-bytes: 0
log-outputs: [stderr, stdout]
cipher-suites: []
strict-reconfig-check: false
client-transport-security:
  auto-tls: false
peer-transport-security:
`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse("synod", []string{"--config-file", path, "--name=flag"}, []string{"ETCD_NAME=env", "ETCD_NONSENSE=1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "filed" || len(c.ListenClient) != 2 || c.Heartbeat.Milliseconds() != 50 || len(c.LogOutputs) != 2 {
		t.Errorf("%+v", c)
	}
	if len(c.Warnings) != 1 {
		t.Errorf("the overruled flag must be warned of, once: %q", c.Warnings)
	}
	if c, err = Parse("synod", nil, []string{"ETCD_CONFIG_FILE=" + path}); err != nil || c.Name != "filed" || len(c.Warnings) != 0 {
		t.Errorf("by environment: %+v, %v", c, err)
	}
}

func TestBadConfigurationFilesAreRefusedInOneLine(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{"nome: x", `unknown key "nome"`},
		{"name: a\nname: b", "not valid YAML"},
		{"name: [", "not valid YAML"},
		{"just text", "not valid YAML"},
		{"config-file: x", "unknown key"},
		{"version: true", "unknown key"},
		{"cert-file: x", `belongs under "client-transport-security: cert-file"`},
		{"client-transport-security: 5", "must hold keys"},
		{"client-transport-security: {cert: x}", `unknown key "cert"`},
		{"peer-transport-security: {auto-tls: true}", "no effect"},
		{"name: [a, b]", "no such sequence"},
		{"log-outputs: [1]", "no such sequence"},
		{"name: {a: b}", "takes one value"},
		{"heartbeat-interval: 1.5", "whole number"},
		{"heartbeat-interval: 100ms", "whole number"},
		{"grpc-keepalive-min-time: 1.5", "nanoseconds"},
		{"enable-pprof: 7", "true or false"},
		{"unsafe-no-fsync: true", "not supported"},
		{"listen-client-urls: http://127.0.0.1:1", "--advertise-client-urls is required"},
		{strings.Repeat("#", fileLimit+1), "larger than"},
	} {
		path := filepath.Join(t.TempDir(), "c.yml")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Parse("synod", []string{"--config-file=" + path}, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v does not say %q in one line", test.content, err, test.want)
		}
	}
}

// FuzzParseFile: whatever a file holds, it is refused in one line or understood.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte("name: a\nheartbeat-interval: 100\n"))
	f.Add([]byte("client-transport-security: {cert-file: c, key-file: k}\n"))
	f.Add([]byte("log-outputs: [stderr]\nwal-dir:\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		given, err := parseFile(content)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than one line", err)
			}
			return
		}
		for name := range given {
			if lookup(name) == nil {
				t.Errorf("%q became the setting of no flag", name)
			}
		}
	})
}
