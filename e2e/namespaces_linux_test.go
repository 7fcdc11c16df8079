package e2e

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

var namespacesFlag = flag.Bool("namespaces", false, "put each member into a network namespace of its own: needs root, a network namespace to do it in, ip, nft and nsenter")

// TestNemesisInNamespaces runs the nemesis once more where packets really are lost: in a network namespace that this test makes for itself, with
// each member in another one. When the process in it ends, the kernel takes all of them away.
func TestNemesisInNamespaces(t *testing.T) {
	if why := noNamespaces(); why != "" {
		t.Logf("NOT TRIED: no faults of packets, because %s; faults of links were", why)
		return
	}
	inNamespaces(t, "^TestNemesis$", fmt.Sprintf("-minutes=%v", *minutesFlag), fmt.Sprintf("-seed=%d", *seedFlag))
}

// inNamespaces runs tests of this program once more, in a network namespace that has nothing in it, and returns the lines that they say.
func inNamespaces(t *testing.T, tests string, flags ...string) (said []string) {
	t.Helper()
	again := exec.CommandContext(t.Context(), os.Args[0], append(flags, "-namespaces", "-programs="+programs, "-test.v", "-test.run="+tests, "-test.timeout=0")...)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := again.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	again.Stderr = again.Stdout
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		said = append(said, lines.Text())
		t.Logf("in namespaces: %s", lines.Text())
	}
	if err := again.Wait(); err != nil {
		t.Errorf("in namespaces: %v", err)
	}
	return said
}

// noNamespaces says why there can be no network of namespaces, or nothing.
func noNamespaces() string {
	if *namespacesFlag {
		return "this is the run in namespaces"
	}
	if os.Getuid() != 0 {
		return "that needs root"
	}
	for _, tool := range []string{"ip", "nft", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "there is no " + tool
		}
	}
	probe := exec.Command("nft", "list", "tables")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := probe.CombinedOutput(); err != nil {
		return fmt.Sprintf("no network namespace can be made: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return ""
}

// newNetworkedCluster describes a cluster on the network that was asked for.
func newNetworkedCluster(t testing.TB, n int) (*cluster, network) {
	if *namespacesFlag {
		return newNamespacedCluster(t, serve(), n)
	}
	return newLinkedCluster(t, n)
}

const (
	bridge = "synod"
	// clientsAddress is this process on the bridge.
	clientsAddress = "10.90.0.254"
)

// namespaced is a network in which each member has a namespace of its own, joined to a bridge in that of this process.
type namespaced struct {
	t       testing.TB
	members []*member
	holders map[*member]int // ids of processes that keep the namespaces there while members are dead
}

// newNamespacedCluster describes a cluster of a program, each member in a namespace of its own.
func newNamespacedCluster(t testing.TB, program []string, n int) (*cluster, network) {
	t.Helper()
	w := &namespaced{t: t, holders: map[*member]int{}}
	w.run("ip", "link", "set", "lo", "up")
	w.run("ip", "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { w.run("ip", "link", "delete", bridge) })
	w.run("ip", "address", "add", clientsAddress+"/24", "dev", bridge)
	w.run("ip", "link", "set", bridge, "up")
	var places []place
	for i := range n {
		client, peer := fmt.Sprintf("10.90.0.%d:2379", i+1), fmt.Sprintf("10.90.0.%d:2380", i+1)
		places = append(places, place{client, peer, client, peer})
	}
	c := newCluster(t, program, places)
	w.members = c.members
	for _, m := range c.members {
		w.holders[m] = w.hold()
		w.join(m)
		m.program = append([]string{"nsenter", "-t", fmt.Sprint(w.holders[m]), "-n", "--"}, m.program...)
	}
	return c, w
}

// hold starts a process in a new namespace and returns its id.
func (w *namespaced) hold() int {
	w.t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		holder.Process.Kill() // the only error is that it has ended
		holder.Wait()
	})
	return holder.Process.Pid
}

// join connects a member's namespace to the bridge and gives it chains for the rules of faults.
func (w *namespaced) join(m *member) {
	w.t.Helper()
	w.run("ip", "link", "add", "to-"+m.name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(w.holders[m]))
	w.t.Cleanup(func() { w.run("ip", "link", "delete", "to-"+m.name) }) // now, and not when the kernel gets round to the namespace
	w.run("ip", "link", "set", "to-"+m.name, "master", bridge, "up")
	w.inside(m, "ip", "address", "add", addressOf(m)+"/24", "dev", "eth0")
	w.inside(m, "ip", "link", "set", "eth0", "up")
	w.inside(m, "ip", "link", "set", "lo", "up")
	w.inside(m, "nft", "add table ip faults; add chain ip faults in { type filter hook input priority 0; }; add chain ip faults out { type filter hook output priority 0; }")
}

func addressOf(m *member) string {
	if m == nil {
		return clientsAddress
	}
	host, _, _ := strings.Cut(m.client, ":")
	return host
}

// run runs a command that must succeed.
func (w *namespaced) run(command ...string) {
	w.t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

func (w *namespaced) inside(m *member, command ...string) {
	w.t.Helper()
	w.run(append([]string{"nsenter", "-t", fmt.Sprint(w.holders[m]), "-n", "--"}, command...)...)
}

// rule makes a rule for the packets of one direction, where they arrive, or, if at the clients, where they leave.
func (w *namespaced) rule(from, to *member, what string) {
	w.t.Helper()
	if to != nil {
		w.inside(to, "nft", "add rule ip faults in ip saddr "+addressOf(from)+" "+what)
	} else {
		w.inside(from, "nft", "add rule ip faults out ip daddr "+addressOf(to)+" "+what)
	}
}

func (w *namespaced) form() string         { return "namespaces" }
func (w *namespaced) cut(from, to *member) { w.rule(from, to, "drop") }
func (w *namespaced) reset(a, b *member)   { w.refuse(a, b); w.refuse(b, a) }
func (w *namespaced) refuse(a, b *member)  { w.rule(a, b, "meta l4proto tcp reject with tcp reset") }
func (w *namespaced) lose(from, to *member, percent int) {
	w.rule(from, to, fmt.Sprintf("numgen random mod 100 < %d drop", percent))
}

// rename has nothing to do: packets say where they come from.
func (w *namespaced) rename(*member, uint64) {}

func (w *namespaced) heal() {
	for _, m := range w.members {
		w.inside(m, "nft", "flush chain ip faults in; flush chain ip faults out")
	}
}
