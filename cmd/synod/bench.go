package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/internal/load"
)

const (
	// clientLimit, keyLimit and valueLimit bound what one bench can ask for; valueLimit in bytes.
	clientLimit, keyLimit, valueLimit = 100_000, 1_000_000_000, 32 << 20
	// benchTimeout bounds a single request, and reaching the members.
	benchTimeout = 10 * time.Second
)

// benchOptions are the flags of `synod bench`.
type benchOptions struct {
	reach
	user                 string
	clients, connections int
	rate                 float64
	warm, duration       time.Duration
	requests             int
	prefix               string
	keys, valueBytes     int
	asJSON               bool

	serializable      bool   // range
	watchers, streams int    // watch
	watched           string // watch
}

func newBench(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast a cluster answers",
		Long: `Make requests at a cluster and measure how fast it answers. It works on Synod, etcd and whatever else speaks the etcd v3 API.

Without --rate, each client makes its next request when the last is answered: this shows the most that so many clients get.
With --rate, requests fall due at that rate whatever the cluster does, and a request's latency counts from when it fell due: this
shows the latency that independent users would see, the wait behind a stall included. Find the highest throughput without
--rate first, then look at the latencies at a half of it.

It writes keys that begin with --prefix, and leaves them there. Do not run it on a cluster whose users must not wait.`,
		Example: `  # Start three members to play with, in another terminal:
  synod up --client-port-base 2379

  # How many writes a second, with 100 clients over 10 seconds?
  synod bench put --endpoints 127.0.0.1:2379,127.0.0.1:2381,127.0.0.1:2383

  # Which latencies at 5,000 writes a second?
  synod bench put --rate 5000 --clients 1000 --duration 1m

  # Tidy up:
  etcdctl del --prefix synod-bench/`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newBenchPut(stdout, stderr), newBenchRange(stdout, stderr), newBenchTxn(stdout, stderr), newBenchWatch(stdout, stderr))
	return c
}

func newBenchPut(stdout, stderr io.Writer) *cobra.Command {
	o := &benchOptions{}
	c := &cobra.Command{
		Use:   "put",
		Short: "Write keys, one a request",
		Long:  `Write keys, one a request, in no order. A put is answered when it is durable on a majority of the members.`,
		Example: `  synod bench put --clients 1000 --connections 100
  synod bench put --rate 2000 --value-bytes 1024 --json`,
	}
	return o.complete(c, stdout, stderr, func(t *load.Target) load.Request { return t.Put(o.keySpace(), load.NewValues(o.valueBytes)) })
}

func newBenchRange(stdout, stderr io.Writer) *cobra.Command {
	o := &benchOptions{}
	c := &cobra.Command{
		Use:   "range",
		Short: "Read keys, one a request",
		Long: `Read keys, one a request, in no order, after writing those that are not there.

A read is linearizable: it sees every write that was acknowledged before it began. With --serializable the member that is asked answers
from what it has, which may be old.`,
		Example: `  synod bench range --clients 1000 --connections 100
  synod bench range --serializable --keys 1000000`,
	}
	c.Flags().BoolVar(&o.serializable, "serializable", false, "take what the member has that is asked, which may be old")
	return o.complete(c, stdout, stderr, func(t *load.Target) load.Request { return t.Range(o.keySpace(), o.serializable) })
}

func newBenchTxn(stdout, stderr io.Writer) *cobra.Command {
	o := &benchOptions{}
	c := &cobra.Command{
		Use:     "txn",
		Short:   "Compare, read and write a key in one transaction",
		Long:    `Compare, read and write a key in one transaction a request, in no order, after writing those keys that are not there.`,
		Example: `  synod bench txn --clients 100 --keys 1000`,
	}
	return o.complete(c, stdout, stderr, func(t *load.Target) load.Request { return t.Txn(o.keySpace(), load.NewValues(o.valueBytes)) })
}

func newBenchWatch(stdout, stderr io.Writer) *cobra.Command {
	o := &benchOptions{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Write while many watch, and count what they are told",
		Long: `Write while many watch, and count the events that they are told. The writes are measured as those of put are.

--watch key has all watchers watch one key, which all writes go to; prefix has them watch all keys; idle gives each a key of its own, which
nobody writes: this shows what writes cost with so many watchers about.`,
		Example: `  synod bench watch --watchers 1000 --rate 100
  synod bench watch --watchers 100000 --streams 100 --watch idle`,
	}
	c.Flags().IntVar(&o.watchers, "watchers", 1000, "how many watchers")
	c.Flags().IntVar(&o.streams, "streams", 0, "over how many streams they are spread; 0 for one each")
	c.Flags().StringVar(&o.watched, "watch", "key", "what they watch: key, prefix or idle")
	return o.complete(c, stdout, stderr, func(t *load.Target) load.Request { return t.Put(o.keySpace(), load.NewValues(o.valueBytes)) })
}

// complete gives c what all benches have in common. Its requests are those that request makes.
func (o *benchOptions) complete(c *cobra.Command, stdout, stderr io.Writer, request func(*load.Target) load.Request) *cobra.Command {
	o.addFlags(c)
	f := c.Flags()
	f.StringVar(&o.user, "user", "", "name:password, for a cluster that enforces users")
	f.IntVar(&o.clients, "clients", 100, "how many requests are under way at most")
	f.IntVar(&o.connections, "connections", 10, "over how many connections, spread over the endpoints")
	f.Float64Var(&o.rate, "rate", 0, "requests that fall due in a second; 0 for as many as the clients get answered")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&o.warm, "warm", time.Second, "how long to make requests before measuring; none with --requests, unless it is given")
	f.IntVar(&o.requests, "requests", 0, "stop after this many requests, those before measuring included; 0 for no bound")
	f.StringVar(&o.prefix, "prefix", "synod-bench/", "what all keys begin with")
	f.IntVar(&o.keys, "keys", 10_000, "how many keys")
	f.IntVar(&o.valueBytes, "value-bytes", 256, "size of a value")
	f.BoolVar(&o.asJSON, "json", false, "print JSON, and no progress")
	c.Args = noArguments
	c.RunE = func(c *cobra.Command, _ []string) error {
		stop, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer release()
		if o.requests > 0 && !c.Flags().Changed("warm") {
			o.warm = 0 // or a few requests would all be warm-up
		}
		return o.bench(stop, c.Name(), request, stdout, stderr)
	}
	return c
}

func (o *benchOptions) keySpace() load.Keys {
	if o.watched == "key" {
		return load.Keys{Prefix: o.prefix, Count: 1}
	}
	return load.Keys{Prefix: o.prefix, Count: o.keys}
}

// check refuses what makes no sense, with the flag's name.
func (o *benchOptions) check() error {
	for _, bound := range []struct {
		flag               string
		value, least, most int
	}{
		{"clients", o.clients, 1, clientLimit},
		{"connections", o.connections, 1, clientLimit},
		{"keys", o.keys, 1, keyLimit},
		{"value-bytes", o.valueBytes, 0, valueLimit},
		{"requests", o.requests, 0, keyLimit},
		{"watchers", o.watchers, 0, clientLimit * 10},
		{"streams", o.streams, 0, max(o.watchers, 0)},
	} {
		if bound.value < bound.least || bound.value > bound.most {
			return fmt.Errorf("--%s: %d is not from %d to %d", bound.flag, bound.value, bound.least, bound.most)
		}
	}
	switch {
	case o.rate < 0:
		return errors.New("--rate: give requests a second, or 0 for as many as the clients get answered")
	case o.duration <= 0:
		return errors.New("--duration: give a time above 0, such as 10s")
	case o.warm < 0:
		return errors.New("--warm: give a time, such as 1s, or 0")
	case o.prefix == "" || o.prefix[len(o.prefix)-1] == 0xff:
		return errors.New("--prefix: give a text, so that the keys can be told from others")
	case o.user != "" && !strings.Contains(o.user, ":"):
		return errors.New("--user: write name:password")
	}
	if _, known := audiences[o.watched]; o.watched != "" && !known {
		return fmt.Errorf("--watch: %q is none of key, prefix and idle", o.watched)
	}
	return nil
}

// audiences are the values of --watch.
var audiences = map[string]load.Audience{"key": load.OneKey, "prefix": load.EveryKey, "idle": load.OwnKey}
