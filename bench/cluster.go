package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"synod.dev/synod/internal/load"
)

// cluster is members of one contender, each a process on this machine, with default settings.
type cluster struct {
	dir     string
	members []*member
}

// newCluster describes a cluster whose programs are in bin and whose data is to be in dir; nothing runs yet.
func newCluster(contender, bin, dir string, members int) (*cluster, error) {
	c := &cluster{dir: dir}
	var founders []string
	for i := range members {
		m, err := newMember(fmt.Sprint(contender, i+1), dir)
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, m)
		founders = append(founders, m.name+"=http://"+m.peer)
	}
	for _, m := range c.members {
		m.command = commandOf(contender, filepath.Join(bin, contender), m, strings.Join(founders, ","))
	}
	return c, os.MkdirAll(dir, 0o700)
}

// commandOf is how a member of a contender is started.
func commandOf(contender, program string, m *member, founders string) []string {
	if contender == nothing {
		return []string{program, "-listen=" + m.client}
	}
	command := []string{program}
	if contender == synod {
		command = append(command, "serve")
	} else {
		command = append(command, "--quota-backend-bytes=8589934592") // or it would take no more than 2 GiB
	}
	return append(command, "--name="+m.name, "--data-dir="+m.dir, "--initial-cluster="+founders, "--initial-cluster-state=new", "--log-level=error",
		"--listen-client-urls=http://"+m.client, "--advertise-client-urls=http://"+m.client,
		"--listen-peer-urls=http://"+m.peer, "--initial-advertise-peer-urls=http://"+m.peer)
}

// start starts all members and returns once all serve, and how long that took.
func (c *cluster) start(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for _, m := range c.members {
		if err := m.start(); err != nil {
			return 0, err
		}
	}
	failed := make([]error, len(c.members))
	var waiting sync.WaitGroup
	for i, m := range c.members {
		waiting.Go(func() { failed[i] = m.awaitReady(ctx) })
	}
	waiting.Wait()
	return time.Since(began), errors.Join(failed...)
}

// stop stops all members at once.
func (c *cluster) stop() error {
	failed := make([]error, len(c.members))
	var stopping sync.WaitGroup
	for i, m := range c.members {
		stopping.Go(func() { failed[i] = m.stop() })
	}
	stopping.Wait()
	return errors.Join(failed...)
}

// remove kills all members and removes all they had.
func (c *cluster) remove() error {
	var errs []error
	for _, m := range c.members {
		if m.process != nil {
			errs = append(errs, m.kill())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

func (c *cluster) endpoints() []string {
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.client)
	}
	return endpoints
}

// dial connects to all members, evenly, and returns once all connections stand.
func (c *cluster) dial(ctx context.Context, connections int) (*load.Target, error) {
	return dial(ctx, c.endpoints(), connections)
}

func dial(ctx context.Context, endpoints []string, connections int) (*load.Target, error) {
	t, err := load.Dial(endpoints, connections, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	if err := t.Await(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// processorTime is how long all members together have computed.
func (c *cluster) processorTime() (time.Duration, error) {
	var all time.Duration
	for _, m := range c.members {
		one, err := processorTime(m.process.Pid)
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
}

// memory is that of the member that has most, in MiB: now, and at most since forgetPeaks.
func (c *cluster) memory() (now, most float64, err error) {
	for _, m := range c.members {
		n, h, err := memory(m.process.Pid)
		if err != nil {
			return 0, 0, err
		}
		now, most = max(now, float64(n)/(1<<20)), max(most, float64(h)/(1<<20))
	}
	return now, most, nil
}

func (c *cluster) forgetPeaks() error {
	for _, m := range c.members {
		if err := forgetPeak(m.process.Pid); err != nil {
			return err
		}
	}
	return nil
}

// metered runs work, which makes so many requests, and adds to its figures what they cost the members: processor seconds per 1,000 requests, all members
// together, and the most memory that one of them had.
func (c *cluster) metered(work func() (f figures, requests float64, err error)) (figures, error) {
	if err := c.forgetPeaks(); err != nil {
		return nil, err
	}
	before, err := c.processorTime()
	if err != nil {
		return nil, err
	}
	f, requests, err := work()
	if err != nil {
		return nil, err
	}
	after, err := c.processorTime()
	if err != nil {
		return nil, err
	}
	_, most, err := c.memory()
	if err != nil {
		return nil, err
	}
	f[cpu], f[peak] = (after-before).Seconds()*1000/requests, most
	return f, nil
}
