package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func libraryCells(s scale) []*cell {
	peers := []string{etcdraft, dragonboat, hashicorp}
	all := append([]string{synod}, peers...)
	cells := []*cell{}
	for _, clients := range []int{1, 64, 1024} {
		b := bar{figure: throughput, against: peers, atLeast: 1.3}
		if clients == 1 {
			b = bar{figure: p50, against: peers, atMost: 1}
		}
		cells = append(cells, &cell{
			name: fmt.Sprint("library-", clients), title: fmt.Sprintf("The library alone, three replicas in one process, commands of 128 bytes, %s clients", grouped(clients)),
			stage: libraryStage, contenders: all, rounds: s.library, columns: []figure{throughput, p50, p99, p999, cpu, peak}, bars: []bar{b},
			measure: func(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
				return measureLibrary(ctx, b, contender, clients)
			},
		})
	}
	return cells
}

func measureLibrary(ctx context.Context, b *bed, contender string, clients int) (run, error) {
	const warm = 500 * time.Millisecond
	args := []string{fmt.Sprint("-clients=", clients), "-bytes=128", fmt.Sprint("-warm=", warm.Seconds()), fmt.Sprint("-secs=", b.scale.seconds.Seconds()),
		"-dir=" + filepath.Join(b.work, library+contender)}
	command := exec.CommandContext(ctx, filepath.Join(b.bin, library+contender), args...)
	command.SysProcAttr = boundToBench()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	most, err := runWatched(command)
	if err != nil {
		return run{}, fmt.Errorf("%s: %w: %s", contender, err, oneLine(stderr.Bytes()))
	}
	f, err := parseLibrary(stdout.String())
	if err != nil {
		return run{}, fmt.Errorf("%s: %w", contender, err)
	}
	state := command.ProcessState
	requests := f[throughput] * (b.scale.seconds + warm).Seconds() // about: those before the measurement cost, too
	f[cpu], f[peak] = (state.UserTime()+state.SystemTime()).Seconds()*1000/requests, most
	return run{Figures: f}, nil
}

// runWatched runs a command and returns the most memory that was seen resident in it, in MiB.
func runWatched(command *exec.Cmd) (most float64, err error) {
	if err := command.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return most, err
		case <-look.C:
			if _, bytes, err := memory(command.Process.Pid); err == nil { // else it has just ended
				most = max(most, float64(bytes)/(1<<20))
			}
		}
	}
}

// parseLibrary reads the line that every library program prints at the end: a label and name=value, latencies as Go writes durations.
func parseLibrary(output string) (figures, error) {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	values := map[string]string{}
	for _, word := range strings.Fields(lines[len(lines)-1]) {
		if name, value, found := strings.Cut(word, "="); found {
			values[name] = value
		}
	}
	f := figures{throughput: number(values["ops/s"])}
	for _, latency := range []struct {
		figure figure
		name   string
	}{{p50, "p50"}, {p99, "p99"}, {p999, "p99.9"}, {longest, "max"}} {
		d, err := time.ParseDuration(values[latency.name])
		if err != nil {
			return nil, fmt.Errorf("it printed no %s: %s", latency.name, oneLine([]byte(output)))
		}
		f[latency.figure] = float64(d) / float64(time.Millisecond)
	}
	if errs := values["errs"]; errs != "0" {
		return nil, fmt.Errorf("%s commands failed", errs)
	}
	return f, nil
}
