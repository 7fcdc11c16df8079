package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	// upBound is how long a local cluster may take until all members serve.
	upBound = time.Minute
	// downBound is how long its members may take to stop before they are killed: a little more than they take themselves.
	downBound = closeBound + 2*time.Second
)

// upOptions are the flags of `synod up`.
type upOptions struct {
	nodes, portBase        int
	nodesGiven, portsGiven bool
	dataDir                string
	keep                   bool
}

func newUp(stdout io.Writer) *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a whole cluster on this machine, until Ctrl-C",
		Long: `Run a whole cluster on this machine, one process a member, until Ctrl-C.

Warnings and errors of the members are shown here; all else is in NAME.log in the data directory.
A member that stops is reported and not started again.`,
		Example: `  # Three members on free ports; their data is gone afterwards:
  synod up

  # Five members on the ports 2379, 2381 … for clients and those between for peers; the same cluster again next time:
  synod up --nodes 5 --client-port-base 2379 --data-dir ./cluster`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			o.nodesGiven, o.portsGiven = c.Flags().Changed("nodes"), c.Flags().Changed("client-port-base")
			stop, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer release()
			return up(stop, o, stdout)
		},
	}
	c.Flags().IntVar(&o.nodes, "nodes", 3, "number of members")
	c.Flags().StringVar(&o.dataDir, "data-dir", "", "directory for the cluster; without it a temporary one that is removed at the end")
	c.Flags().IntVar(&o.portBase, "client-port-base", 0, "first port: member i serves clients on base+2(i-1), peers on the port above; 0 for free ports")
	c.Flags().BoolVar(&o.keep, "keep", false, "keep the temporary directory")
	return c
}

// up runs a local cluster until stop ends.
func up(stop context.Context, o upOptions, stdout io.Writer) (err error) {
	runtime.LockOSThread() // the children die with the thread that starts them
	s, dir, temporary, err := o.prepare()
	if err != nil {
		return err
	}
	note := ""
	if temporary {
		note = " (temporary; removed at the end)"
		if o.keep {
			note = " (kept at the end)"
		} else {
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		}
	}
	out := &console{w: stdout}
	out.say("starting %d members in %s%s", len(s.Members), dir, note)
	cluster, err := startCluster(s, dir, out)
	if err != nil {
		return errors.Join(err, cluster.stop())
	}
	switch err := cluster.awaitReady(stop); {
	case err != nil:
		return errors.Join(err, cluster.stop())
	case stop.Err() != nil:
		return cluster.stop()
	}
	out.say("all %d members are ready\n\n  endpoints  %s\n  data       %s\n  try        etcdctl --endpoints=%s put hello world\n\nCtrl-C stops the cluster.",
		len(s.Members), s.endpoints(), dir, s.endpoints())
	if err := cluster.watch(stop, out); err != nil {
		return err
	}
	out.say("stopping")
	out.mute() // members that go one by one miss each other
	if err := cluster.stop(); err != nil {
		return err
	}
	out.say("stopped")
	return nil
}

// console is where the cluster's words and those of its members are printed, whole lines at a time.
type console struct {
	mu    sync.Mutex
	w     io.Writer
	muted bool
}

// say prints a line of the cluster's own.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.w, format+"\n", args...)
}

// quote prints a line of a member's, unless members are muted.
func (c *console) quote(name, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.muted {
		fmt.Fprintf(c.w, "%s: %s\n", name, line)
	}
}

func (c *console) mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
}

// prepare decides on the cluster's shape and directory.
func (o upOptions) prepare() (s shape, dir string, temporary bool, err error) {
	if o.dataDir == "" {
		if s, err = newShape(o.nodes, o.portBase); err != nil {
			return shape{}, "", false, err
		}
		if dir, err = os.MkdirTemp("", "synod-up-"); err != nil {
			return shape{}, "", false, fmt.Errorf("cannot make a temporary directory: %w", err)
		}
		return s, dir, true, s.save(dir)
	}
	if dir, err = filepath.Abs(o.dataDir); err != nil {
		return shape{}, "", false, err
	}
	s, found, err := loadShape(dir)
	if err != nil {
		return shape{}, "", false, err
	}
	if found {
		return s, dir, false, o.checkSame(s, dir)
	}
	if s, err = newShape(o.nodes, o.portBase); err != nil {
		return shape{}, "", false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return shape{}, "", false, fmt.Errorf("cannot make the data directory: %w", err)
	}
	return s, dir, false, s.save(dir)
}

// checkSame refuses flags that contradict the cluster that is there.
func (o upOptions) checkSame(s shape, dir string) error {
	if o.nodesGiven && o.nodes != len(s.Members) {
		return usageError{fmt.Errorf("--nodes %d contradicts the cluster in %s, which has %d members; leave it out or choose another --data-dir", o.nodes, dir, len(s.Members))}
	}
	if o.portsGiven && o.portBase != 0 {
		if wanted, err := newShape(len(s.Members), o.portBase); err != nil || wanted.endpoints() != s.endpoints() {
			return usageError{fmt.Errorf("--client-port-base %d contradicts the cluster in %s, which serves on %s; leave it out or choose another --data-dir", o.portBase, dir, s.endpoints())}
		}
	}
	return nil
}

// localCluster is the set of member processes.
type localCluster struct {
	members []*child
	ready   chan *child // those that serve
	exited  chan *child // those that have ended
}

// startCluster starts every member. On error the result holds those that were started.
func startCluster(s shape, dir string, out *console) (*localCluster, error) {
	l := &localCluster{ready: make(chan *child, len(s.Members)), exited: make(chan *child, len(s.Members))}
	for _, m := range s.Members {
		c, err := start(s, m, dir, out, l.ready, l.exited)
		if err != nil {
			return l, err
		}
		l.members = append(l.members, c)
	}
	return l, nil
}

// awaitReady returns nil once all members serve or stop ends, and an error if a member ends first or it takes too long.
func (l *localCluster) awaitReady(stop context.Context) error {
	late := time.After(upBound)
	for range l.members {
		select {
		case <-l.ready:
		case c := <-l.exited:
			return fmt.Errorf("%s could not start: %s", c.name, c.lastError())
		case <-stop.Done():
			return nil
		case <-late:
			return fmt.Errorf("not all members serve after %v; their logs say why", upBound)
		}
	}
	return nil
}

// watch reports members that end, until stop ends or none is left.
func (l *localCluster) watch(stop context.Context, out *console) error {
	for range l.members {
		select {
		case <-stop.Done():
			return nil
		case c := <-l.exited:
			out.say("%s has stopped and is not started again: %s", c.name, c.lastError())
		}
	}
	return errors.New("all members have stopped")
}

// stop ends every member that still runs: by asking, and when that takes too long by force.
func (l *localCluster) stop() error {
	var errs []error
	for _, c := range l.members {
		errs = append(errs, c.signal(syscall.SIGTERM))
	}
	late := time.After(downBound)
	for _, c := range l.members {
		select {
		case <-c.exited:
		case <-late:
			late = time.After(0) // for those that follow, too
			errs = append(errs, fmt.Errorf("%s did not stop within %v and was killed; what it acknowledged is on disk", c.name, downBound), c.signal(syscall.SIGKILL))
			<-c.exited
		}
	}
	return errors.Join(errs...)
}
