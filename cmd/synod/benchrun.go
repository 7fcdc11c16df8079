package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"synod.dev/synod/internal/load"
)

// bench reaches the cluster, makes what the requests need, makes them, and prints what was measured. When stop ends, so does the bench, with what it has
// measured by then.
func (o *benchOptions) bench(stop context.Context, operation string, request func(*load.Target) load.Request, stdout, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return usageError{err}
	}
	target, err := o.dial()
	if err != nil {
		return usageError{err}
	}
	defer target.Close()
	if err := o.prepare(stop, operation, target); err != nil {
		return err
	}
	var watchers *load.Watchers
	if operation == "watch" {
		if watchers, err = o.watch(stop, target); err != nil {
			return fmt.Errorf("cannot watch: %s", status.Convert(err).Message())
		}
		defer watchers.Close()
	}
	plan := load.Plan{Clients: o.clients, Rate: o.rate, Warm: o.warm, Duration: o.duration, Requests: o.requests, Timeout: benchTimeout}
	began := time.Now()
	running := load.Begin(stop, plan, request(target))
	result := o.follow(running, plan, stderr)
	outcome := o.outcome(operation, result)
	if watchers != nil {
		outcome.Events = settled(stop, watchers, o.expected(running.Answered()))
		outcome.EventsPerSecond = float64(outcome.Events) / time.Since(began).Seconds()
		if err := watchers.Err(); err != nil {
			return fmt.Errorf("a watcher was cut off, so the figures mean nothing: %s", status.Convert(err).Message())
		}
	}
	return errors.Join(outcome.print(stdout, o.asJSON), failures(result))
}

// dial prepares the connections. Its errors are about the flags.
func (o *benchOptions) dial() (*load.Target, error) {
	urls, err := o.urls()
	if err != nil {
		return nil, err
	}
	security, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	var endpoints []string
	for _, u := range urls {
		if u.Scheme != urls[0].Scheme {
			return nil, errors.New("--endpoints: write all as https:// or none")
		}
		endpoints = append(endpoints, u.Host)
	}
	if urls[0].Scheme == "http" {
		security = nil
	}
	return load.Dial(endpoints, o.connections, security)
}

// prepare reaches every member, logs in, and writes the keys that are to be read.
func (o *benchOptions) prepare(stop context.Context, operation string, target *load.Target) error {
	ctx, cancel := context.WithTimeout(stop, benchTimeout)
	defer cancel()
	if err := target.Await(ctx); err != nil {
		return fmt.Errorf("%w; is it up, and are --endpoints and the flags for TLS right?", err)
	}
	if name, password, given := strings.Cut(o.user, ":"); given {
		if err := target.Login(ctx, name, password); err != nil {
			return fmt.Errorf("cannot log in as %s: %s", name, status.Convert(err).Message())
		}
	}
	keys := o.keySpace()
	count, err := target.Count(ctx, keys)
	if err != nil {
		return fmt.Errorf("the cluster refuses to count the keys under %s: %s", o.prefix, status.Convert(err).Message())
	}
	if operation != "range" && operation != "txn" || count >= int64(keys.Count) {
		return nil
	}
	filling := load.Plan{Clients: o.clients, Requests: keys.Count, Timeout: benchTimeout}
	if r := load.Run(stop, filling, target.Fill(keys, load.NewValues(o.valueBytes))); r.Failed > 0 {
		return fmt.Errorf("cannot write the keys to be read: %w", failures(r))
	}
	return stop.Err()
}

func (o *benchOptions) watch(ctx context.Context, target *load.Target) (*load.Watchers, error) {
	streams := o.streams
	if streams == 0 {
		streams = o.watchers
	}
	return target.Watch(ctx, o.keySpace(), audiences[o.watched], o.watchers, streams)
}

// expected is how many events so many writes make for all watchers.
func (o *benchOptions) expected(writes int64) int64 {
	if o.watched == "idle" {
		return 0
	}
	return writes * int64(o.watchers)
}

// settled waits until the watchers have been told all, or nothing more for a while, and returns how many events they have been told.
func settled(ctx context.Context, w *load.Watchers, expected int64) int64 {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	last, since := w.Events(), time.Now()
	for last < expected && time.Since(since) < benchTimeout && ctx.Err() == nil && w.Err() == nil {
		<-poll.C
		if now := w.Events(); now > last {
			last, since = now, time.Now()
		}
	}
	return last
}

// failures is an error if requests have failed, or none was measured.
func failures(r *load.Result) error {
	switch {
	case r.Failed == 0 && r.Count()+r.Overdue == 0:
		return errors.New("nothing was measured, since it was over before the warm-up was; give a shorter --warm or more --requests")
	case r.Failed == 0:
		return nil
	}
	return fmt.Errorf("%s of %s requests failed, one of them with: %s", grouped(r.Failed), grouped(r.Failed+r.Count()), status.Convert(r.Err).Message())
}
