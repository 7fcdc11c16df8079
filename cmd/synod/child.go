package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// lineLimit bounds one line of a member's log, in bytes; what is longer is taken for several lines.
const lineLimit = 64 << 10

// child is one member process that `synod up` has started.
type child struct {
	name    string
	command *exec.Cmd
	out     *console
	ready   chan<- *child // told once it serves
	exited  chan struct{} // closed once it has ended and its log is read to the end

	// What follow has learned; others may look once exited is closed.
	serves   bool
	lastWord string // its last error
	err      error  // how it ended
}

// start starts this very program as the member m. Its log goes to NAME.log in dir; warnings and errors are also printed.
// It is sent to ready once it serves, and to exited when it has ended; both channels must have room.
// The calling goroutine must be locked to its thread and outlive the child: on Linux the kernel ends the child with that thread.
func start(s shape, m localMember, dir string, out *console, ready, exited chan<- *child) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program itself: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, m.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write the log of %s: %w", m.Name, err)
	}
	c := &child{name: m.Name, out: out, ready: ready, exited: make(chan struct{})}
	c.command = exec.Command(program, s.serveArguments(m, dir)...)
	c.command.Env = withoutSettings(os.Environ())
	c.command.SysProcAttr = boundToParent()
	output, err := c.command.StderrPipe()
	if err == nil {
		err = c.command.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", m.Name, err), log.Close())
	}
	go func() {
		c.follow(output, log)
		close(c.exited)
		exited <- c
	}()
	return c, nil
}

// withoutSettings drops the variables that would configure the members: their flags say everything.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "ETCD_") && !strings.HasPrefix(entry, "SYNOD_") && !strings.HasPrefix(entry, "NOTIFY_SOCKET=") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// follow reads the child's log to its end and then waits for the process.
func (c *child) follow(output io.Reader, log *os.File) {
	lines := bufio.NewReaderSize(output, lineLimit)
	var logErr error
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			if _, err := log.Write(line); err != nil && logErr == nil {
				logErr = err
				c.out.quote(c.name, fmt.Sprintf("its log cannot be written any more: %v", err))
			}
			c.listen(strings.TrimRight(string(line), "\n"))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	c.err = errors.Join(c.command.Wait(), log.Close())
}

// listen acts on one line of the child's log.
func (c *child) listen(line string) {
	var entry map[string]any
	if json.Unmarshal([]byte(line), &entry) != nil { // no log line but the program's last word before it exits
		c.lastWord = line
		c.out.quote(c.name, line)
		return
	}
	message := summary(entry)
	switch entry["level"] {
	case "error":
		c.lastWord = message
		c.out.quote(c.name, message)
	case "warn":
		c.out.quote(c.name, message)
	}
	if entry["msg"] == readyLine && !c.serves {
		c.serves = true
		c.ready <- c
	}
}

// summary is a log line for people: the message and what belongs to it.
func summary(entry map[string]any) string {
	text := fmt.Sprint(entry["msg"])
	for _, key := range slices.Sorted(maps.Keys(entry)) {
		switch key {
		case "msg", "level", "ts", "caller", "member":
		default:
			text += fmt.Sprintf(" %s=%v", key, entry[key])
		}
	}
	return text
}

// lastError is why a child that has ended did so, in its own words if it had any.
func (c *child) lastError() string {
	if c.lastWord != "" {
		return c.lastWord
	}
	if c.err != nil {
		return c.err.Error()
	}
	return "it stopped without saying why"
}

// signal sends s to the process, if it still runs.
func (c *child) signal(s syscall.Signal) error {
	if err := c.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot signal %s (process %d): %w", c.name, c.command.Process.Pid, err)
	}
	return nil
}
