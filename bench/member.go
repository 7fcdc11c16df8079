package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"synod.dev/synod/internal/freeport"
	"synod.dev/synod/internal/load"
)

const (
	// readyBound is how long members may take until they serve, stopBound until they have stopped after being asked.
	readyBound, stopBound = 2 * time.Minute, 20 * time.Second
	// pollEvery is how often members are asked whether they serve.
	pollEvery = 10 * time.Millisecond
)

// member is one member of a cluster: the same through all the processes that run it.
type member struct {
	name         string
	client, peer string // addresses
	dir          string // for its data, with its log beside it
	command      []string

	process *os.Process
	exited  chan struct{} // closed once the process has ended
}

// start starts a process. The calling goroutine must be locked to its thread: on Linux the kernel ends the process with that.
func (m *member) start() error {
	log, err := os.OpenFile(m.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(m.command[0], m.command[1:]...)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = boundToBench()
	if err := c.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", m.name, err)
	}
	m.process, m.exited = c.Process, make(chan struct{})
	go func() {
		c.Wait() // how it ended is in its log
		close(m.exited)
	}()
	return nil
}

func (m *member) logFile() string { return m.dir + ".log" }

// awaitReady waits until the member answers a linearizable read.
func (m *member) awaitReady(ctx context.Context) error {
	target, err := load.Dial([]string{m.client}, 1, nil)
	if err != nil {
		return err
	}
	defer target.Close()
	ctx, cancel := context.WithTimeout(ctx, readyBound)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := m.listens()
		if err == nil {
			err = target.Await(once)
		}
		if err == nil {
			_, err = target.Count(once, load.Keys{Prefix: "ready"})
		}
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-m.exited:
			log, _ := os.ReadFile(m.logFile()) // empty is what it then says
			return fmt.Errorf("%s has stopped: %s", m.name, oneLine(log))
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve within %v: %w", m.name, readyBound, err)
		}
	}
}

// listens returns nil if the member accepts connections. gRPC would wait a second after a first attempt that fails, longer than some take to start.
func (m *member) listens() error {
	socket, err := net.DialTimeout("tcp", m.client, time.Second)
	if err != nil {
		return err
	}
	return socket.Close()
}

// stop asks the process to stop, and makes it if it does not.
func (m *member) stop() error {
	if err := m.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(stopBound)
	defer late.Stop()
	select {
	case <-m.exited:
		return nil
	case <-late.C:
		return m.kill()
	}
}

// kill ends the process at once, as kill -9 does.
func (m *member) kill() error {
	if err := m.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-m.exited
	return nil
}

// newMember decides on addresses and a directory. The command is still missing.
func newMember(name, dir string) (*member, error) {
	addresses, err := freeport.Take(2)
	if err != nil {
		return nil, err
	}
	return &member{name: name, dir: filepath.Join(dir, name), client: addresses[0], peer: addresses[1]}, nil
}
