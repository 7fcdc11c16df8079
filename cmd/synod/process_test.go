package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests; none of them waits for time to pass.
const patience = time.Minute

// binaries is the directory with the program under test, under both its names.
var binaries string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "synod-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "synod"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, output)
		return 1
	}
	if err := os.Symlink("synod", filepath.Join(dir, "etcd")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// process is one run of the program.
type process struct {
	t       *testing.T
	command *exec.Cmd
	exited  chan struct{} // closed when it has ended and all of its output is in lines

	mu    sync.Mutex
	more  *sync.Cond // there is a new line, or the process has ended
	lines []string   // of stdout and stderr
	ended bool
}

// begin runs the program, in dir if that is not empty, and kills it when the test ends if it still runs then.
func begin(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, command: exec.Command(filepath.Join(binaries, name), args...), exited: make(chan struct{})}
	p.more = sync.NewCond(&p.mu)
	p.command.Dir = dir
	p.command.Env = append(withoutSettings(os.Environ()), "TMPDIR="+t.TempDir())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stdout, p.command.Stderr = w, w
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go p.read(r)
	t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), p.output())
		}
	})
	return p
}

func (p *process) read(r io.ReadCloser) {
	defer r.Close()
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		p.more.Broadcast()
		p.mu.Unlock()
	}
	p.command.Wait()
	p.mu.Lock()
	p.ended = true
	p.more.Broadcast()
	p.mu.Unlock()
	close(p.exited)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// await returns the first line that contains text, and fails the test if there is none before the process ends.
func (p *process) await(text string) string {
	p.t.Helper()
	late := time.AfterFunc(patience, func() { p.command.Process.Kill() })
	defer late.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for next := 0; ; {
		for ; next < len(p.lines); next++ {
			if strings.Contains(p.lines[next], text) {
				return p.lines[next]
			}
		}
		if p.ended {
			p.t.Fatalf("the process ended without saying %q", text)
		}
		p.more.Wait()
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// exitsWith waits for the process and checks its exit code.
func (p *process) exitsWith(code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
	if got := p.command.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("exit code %d, want %d", got, code)
	}
}

func (p *process) stops() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.exitsWith(0)
}

// lastLine is the last thing the process said.
func (p *process) lastLine() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) == 0 {
		return ""
	}
	return p.lines[len(p.lines)-1]
}
