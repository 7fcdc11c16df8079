package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"synod.dev/synod/internal/relay"
)

// gatewayOptions are the flags of `synod gateway`, named as etcd's `gateway start` names them.
type gatewayOptions struct {
	endpoints  []string
	listen     string
	retryDelay time.Duration
}

func newGateway(stdout, stderr io.Writer) *cobra.Command {
	var o gatewayOptions
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Pass clients' connections on to the members",
		Long: `Pass clients' connections on to whichever members can be reached, one after the other.

It is no member and holds nothing; it looks at nothing of what is said, so TLS is between client and member, whose
certificate must be good for the gateway's name. A member that cannot be reached is left aside for --retry-delay.`,
		Example: `  # Programs on this machine use 127.0.0.1:23790, wherever the members are:
  synod gateway --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return serveGateway(o, stdout, stderr) },
	}
	c.Flags().StringSliceVar(&o.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "client addresses of the members, host:port or URL")
	c.Flags().StringVar(&o.listen, "listen-addr", "127.0.0.1:23790", "where to listen for clients, host:port")
	c.Flags().DurationVar(&o.retryDelay, "retry-delay", time.Minute, "for how long a member that cannot be reached is left aside")
	return c
}

// relay is what the flags say.
func (o *gatewayOptions) relay(logger *slog.Logger) (*relay.Relay, error) {
	urls, err := (&reach{endpoints: o.endpoints}).urls()
	if err != nil {
		return nil, err
	}
	if o.retryDelay <= 0 {
		return nil, fmt.Errorf("--retry-delay %v: give a time above 0", o.retryDelay)
	}
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return nil, fmt.Errorf("--listen-addr %q is no address; write host:port", o.listen)
	}
	r := &relay.Relay{RetryDelay: o.retryDelay, Logger: logger}
	for _, u := range urls {
		r.Endpoints = append(r.Endpoints, u.Host)
	}
	return r, nil
}

// serveGateway passes connections on until it is told to stop.
func serveGateway(o gatewayOptions, stdout, stderr io.Writer) error {
	r, err := o.relay(slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("cannot listen for clients on %s: %w; choose another --listen-addr", o.listen, err)
	}
	if _, err := fmt.Fprintf(stdout, "passing connections to %s on to %d members\n", listener.Addr(), len(r.Endpoints)); err != nil {
		listener.Close()
		return err
	}
	return r.Serve(ctx, listener)
}
