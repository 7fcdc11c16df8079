package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ctlCommand is one call of etcdctl. In args, {now} stands for the store's revision and {now-1} for the one before.
type ctlCommand struct {
	args  string
	stdin string
}

// ctlScript is what people do with etcdctl, mistakes among it. Each command is run once for each form of output that it has.
var ctlScript = []ctlCommand{
	{args: "put fruit/apple red"},
	{args: "put fruit/banana yellow"},
	{args: "put fruit/cherry dark"},
	{args: "put fruit/cherry red --prev-kv"},
	{args: "put fruit/cherry --ignore-value"},
	{args: "put root brown"},
	{args: "put from-stdin", stdin: "two\nlines"},
	{args: "put no-such-lease 1 --lease=1234"},
	{args: "get fruit/apple"},
	{args: "get nothing"},
	{args: "get fruit/ --prefix"},
	{args: "get fruit/ --prefix --keys-only"},
	{args: "get fruit/ --prefix --count-only"},
	{args: "get fruit/ --prefix --print-value-only"},
	{args: "get fruit/ --prefix --limit=2"},
	{args: "get fruit/ --prefix --order=DESCEND --sort-by=KEY"},
	{args: "get fruit/apple fruit/cherry"},
	{args: "get fruit/b --from-key"},
	{args: "get --from-key --consistency=s "},
	{args: "get fruit/cherry --rev={now-1}"},
	{args: "get fruit/cherry --rev=1000000"},
	{args: "del fruit/apple --prev-kv"},
	{args: "del fruit/apple"},
	{args: "del fruit/ --prefix --prev-kv"},
	{args: "put balance 5"},
	{args: "txn", stdin: "value(\"balance\") = \"5\"\nversion(\"balance\") > \"0\"\n\nput balance 4\nget balance\n\nget root\n\n"},
	{args: "txn", stdin: "mod(\"balance\") = \"1\"\n\ndel balance\n\nget balance\ndel root\n\n"},
	{args: "txn", stdin: "create(\"nothing\") = \"0\"\n\nput twice 1\nput twice 2\n\n\n"},
	{args: "compaction {now-1}"},
	{args: "get balance --rev={now-2}"},
	{args: "compaction {now-1}"},
	{args: "compaction 1000000"},
	{args: "put after-compaction 1"},
	{args: "compaction {now} --physical"},
	{args: "get --from-key "},
	{args: "del --from-key "},
	{args: "endpoint hashkv"},
	{args: "endpoint hashkv --cluster"},
	{args: "endpoint hashkv --rev={now}"},
	{args: "endpoint hashkv --rev=1000000"},
	{args: "endpoint health"},
	{args: "endpoint health --cluster"},
	{args: "endpoint status"},
	{args: "endpoint status --cluster"},
	{args: "member list"},
	{args: "member list --consistency=s"},
	{args: "alarm list"},
}

// ctlPatience has etcdctl wait for an answer for as long as these tests wait for anything, instead of seconds.
var ctlPatience = []string{"--dial-timeout=" + patience.String(), "--command-timeout=" + patience.String(), "--keepalive-timeout=" + patience.String()}

// TestEtcdctlSaysOfSynodWhatItSaysOfEtcd runs etcdctl's commands against each member of a real etcd cluster and of a Synod cluster, both of
// three, and demands the same output and exit code.
func TestEtcdctlSaysOfSynodWhatItSaysOfEtcd(t *testing.T) {
	etcdctl := buildTool(t, "etcdctl", "go.etcd.io/etcd/etcdctl/v3")
	etcd := startLastingCluster(t, []string{buildEtcd(t)}, "--unsafe-no-fsync")
	synod := startLastingCluster(t, serve())
	etcd.awaitNames()
	etcd.awaitStorageVersion()
	synod.awaitNames()
	for i := range 3 {
		for _, command := range ctlScript {
			for _, form := range []string{"simple", "json", "fields", "table"} {
				synod.revision()
				args := command.expand(etcd.revision())
				want := runEtcdctl(t, etcdctl, etcd.members[i], args, form, command.stdin)
				got := runEtcdctl(t, etcdctl, synod.members[i], args, form, command.stdin)
				if want != got {
					t.Errorf("member %d: etcdctl -w %s %s\n--- etcd\n%s\n--- synod\n%s", i, form, args, want, got)
				}
			}
		}
	}
	synod.agree()
}

// lastingLeader has a leader last through pauses of some seconds, as on a busy machine. No lease is granted for less than one and a half times as long.
const lastingLeader = "--election-timeout=10000"

// startLastingCluster starts three members of which another one leads only by what a test does to them.
func startLastingCluster(t testing.TB, program []string, flags ...string) *cluster {
	t.Helper()
	var places []place
	for range 3 {
		client, peer := listenAddress(t), listenAddress(t)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, program, places)
	for _, m := range c.members {
		m.flags = append(append(m.flags, lastingLeader), flags...)
	}
	c.start()
	return c
}

// expand fills in revisions.
func (c ctlCommand) expand(now int64) string {
	args := strings.ReplaceAll(c.args, "{now}", strconv.FormatInt(now, 10))
	for back := int64(1); back <= 2; back++ {
		args = strings.ReplaceAll(args, fmt.Sprintf("{now-%d}", back), strconv.FormatInt(now-back, 10))
	}
	return args
}

// revision is the revision of the store, which all members have got to.
func (c *cluster) revision() (revision int64) {
	c.t.Helper()
	for _, m := range c.members {
		revision = m.revision()
	}
	return revision
}

// revision is the revision of the store now.
func (m *member) revision() int64 {
	m.t.Helper()
	resp, err := m.api.Get(m.t.Context(), "a", clientv3.WithCountOnly())
	if err != nil {
		m.t.Fatalf("%s does not answer: %v", m.name, err)
	}
	return resp.Header.Revision
}

// awaitNames waits until each member knows the names of all, which members tell each other after they have begun to serve.
func (c *cluster) awaitNames() {
	c.t.Helper()
	eventually(c.t, "all members know all names", func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool {
			list, err := m.api.MemberList(c.t.Context())
			return err != nil || slices.ContainsFunc(list.Members, func(m *pb.Member) bool { return m.Name == "" })
		})
	})
}

// awaitStorageVersion waits until each member states the version of its storage, which a real etcd writes some seconds after it has begun to serve.
func (c *cluster) awaitStorageVersion() {
	c.t.Helper()
	eventually(c.t, "all members know the version of their storage", func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool {
			status, err := m.api.Status(c.t.Context(), m.client)
			return err != nil || status.StorageVersion == ""
		})
	})
}

// runEtcdctl returns what etcdctl printed and its exit code, without what cannot be the same of two clusters.
func runEtcdctl(t *testing.T, etcdctl string, m *member, args, form, stdin string) string {
	t.Helper()
	flags := append(strings.Split(args, " "), "--endpoints="+m.client, "--write-out="+form)
	c := exec.CommandContext(t.Context(), etcdctl, append(flags, ctlPatience...)...)
	c.Stdin = strings.NewReader(stdin)
	c.Env = append(os.Environ(), "ETCDCTL_API=3")
	out, err := c.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		out = fmt.Appendf(out, "exit code %d\n", exit.ExitCode())
	}
	return mask(out)
}

// masks are what differs between two clusters, or between one run and the next. Etcd's default quota of 2 GB is among it: Synod has none.
var masks = []struct{ what, with string }{
	{`(?m)^\{"level":.*\n`, ``}, // the client's own log
	{`127\.0\.0\.1:\d+`, `ADDRESS`},
	{`\b[0-9a-f]{12,16}\b`, `ID`},       // in hexadecimal
	{`\b\d{15,20}\b`, `ID`},             // in decimal
	{`"name":"[abc]"`, `"name":"NAME"`}, // their order is that of the IDs
	{`started, [abc],`, `started, NAME,`},
	{`started │    [abc]`, `started │ NAME`},
	{`\b\d+(\.\d+)?(ms|µs|s)\b`, `TOOK`},
	{`(?i)"(raft_?term|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)"( : |:)\d+`, `"$1":NUMBER`},
	{`"dbSizeQuota":\d+,`, ``},
	{`"DBSizeQuota" : \d+`, `"DBSizeQuota" : NUMBER`},
	{`(3\.7\.0), [^,]+, [^,]+, [^,]+, [^,]+, (true|false), (true|false), \d+, \d+, \d+,`, `$1, SIZES, LEADS, $3, NUMBERS,`},
	{`(3\.7\.0) │ [^│]+ │ [^│]+ │ [^│]+ │ [^│]+ │ +(true|false) │ +(true|false) │ +\d+ │ +\d+ │ +\d+ │`, `$1 │ SIZES │ LEADS │ $3 │ NUMBERS │`},
	{`[─ ]+`, ` `}, // the widths of columns
}

func mask(out []byte) string {
	for _, m := range masks {
		out = regexp.MustCompile(m.what).ReplaceAll(out, []byte(m.with))
	}
	lines := bytes.Split(out, []byte("\n"))
	if bytes.Contains(out, []byte("ADDRESS")) { // lines about members are in the order of their IDs, or in any
		slices.SortStableFunc(lines, bytes.Compare)
	}
	return string(bytes.Join(lines, []byte("\n")))
}
