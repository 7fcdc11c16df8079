package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	etcd "go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc/grpclog"

	"synod.dev/synod"
	"synod.dev/synod/internal/serverconfig"
)

const (
	// readyLine tells people's tools, etcd's own test suites among them, that the member serves.
	readyLine = "ready to serve client requests"
	// After the signal to stop, handOverBound is how long a leader tries to have another lead, drainBound how long requests under way may take
	// to end, and closeBound how long all of stopping may take.
	handOverBound = 2 * time.Second
	drainBound    = 5 * time.Second
	closeBound    = handOverBound + drainBound + 3*time.Second
	// joinAttempt is how long to wait for a quorum before saying that there is none yet, joinReminder until that is said again.
	joinAttempt  = 10 * time.Second
	joinReminder = 30 * time.Second
)

func newServe(stdout, stderr io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "serve [flags]",
		Short: "Run one member of a cluster",
		Long:  serveHelp,
		Example: `  # A cluster of one, on the default ports:
  synod serve --data-dir /var/lib/synod

  # The first of three members; the other two differ in name and addresses:
  synod serve --name a --data-dir /var/lib/synod \
    --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \
    --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379 \
    --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380

  # The same from etcd's configuration file, or in the environment:
  synod serve --config-file /etc/etcd/etcd.conf.yml
  ETCD_NAME=a ETCD_DATA_DIR=/var/lib/synod synod serve`,
		DisableFlagParsing: true, // etcd's syntax, one dash or two, is serverconfig's to read
		RunE: func(c *cobra.Command, args []string) error {
			return serveAs("synod", args, stdout, stderr)
		},
	}
}

const serveHelp = `Run one member of a cluster.

The flags are etcd's. Each can also be set in the environment: --data-dir is SYNOD_DATA_DIR or ETCD_DATA_DIR.
A flag comes before the environment; with --config-file the file rules alone.
Started under the name etcd, the program behaves as "synod serve".`

// serveAs runs a member with the given flags until it is told to stop. Program is "synod" or "etcd".
func serveAs(program string, args []string, stdout, stderr io.Writer) error {
	config, err := serverconfig.Parse(program, args, os.Environ())
	switch {
	case errors.Is(err, serverconfig.ErrHelp):
		printServeHelp(program, stdout)
		return nil
	case err != nil:
		return usageError{err}
	case config.ShowVersion:
		printEtcdVersion(stdout)
		return nil
	}
	logger, closeLog, err := newLogger(config)
	if err != nil {
		return err
	}
	grpclog.SetLoggerV2(quietGRPC{logger})
	stop, abort := stopSignals(stderr, program)
	defer abort()
	return errors.Join(serve(stop, config, logger), closeLog())
}

func printServeHelp(program string, stdout io.Writer) {
	usage := program + " [flags]"
	if program == "synod" {
		usage = "synod serve [flags]"
	}
	example := newServe(stdout, stdout).Example
	fmt.Fprintf(stdout, "%s\n\nUsage:\n  %s\n\nExamples:\n%s\n\nFlags:\n\n%s", serveHelp, usage, example, serverconfig.Help())
}

// stopSignals returns a context that ends with the first SIGTERM or SIGINT; a second one ends the process at once.
func stopSignals(stderr io.Writer, program string) (stop context.Context, release func()) {
	stop, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-stop.Done():
			return
		}
		again := <-signals
		fmt.Fprintf(stderr, "%s: stopped at once by a second signal (%v); what was acknowledged is on disk\n", program, again)
		os.Exit(exitFailure)
	}()
	return stop, cancel
}

// serve runs a member until stop ends, for which it returns nil, or the member fails.
func serve(stop context.Context, config *serverconfig.Config, logger *slog.Logger) error {
	logger.Info("starting synod", "version", synodVersion, "etcd-version", etcd.Version, "git-sha", revision(),
		"name", config.Name, "data-dir", config.DataDir)
	for _, warning := range config.Warnings {
		logger.Warn(warning)
	}
	m, err := openMember(config, logger)
	if err != nil {
		logger.Error("this member cannot start", "name", config.Name, "error", err)
		return err
	}
	joined := make(chan error, 1)
	joining, cancel := context.WithCancel(stop)
	defer cancel()
	go func() { joined <- m.join(joining) }()

	for {
		select {
		case err := <-joined:
			if err == nil {
				logger.Info(readyLine, "name", config.Name, "client-urls", config.AdvertiseClientURLs)
				notifySystemd(logger)
			}
			joined = nil
		case <-stop.Done():
			logger.Info("stopping: no new requests; those under way may end", "bound", drainBound)
			err := m.stop()
			if err == nil {
				logger.Info("stopped", "name", config.Name)
			}
			return err
		case err := <-m.failed:
			if errors.Is(err, synod.ErrRemoved) {
				logger.Info("this member has been permanently removed from the cluster; remove its data directory before it is added again", "data-dir", config.DataDir)
				return m.stop()
			}
			return err // and exit: to close what stands on a broken disk may take for ever
		}
	}
}

// notifySystemd tells a service manager that asked for it that the server is ready (sd_notify(3)).
func notifySystemd(logger *slog.Logger) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	socket, err := net.Dial("unixgram", address)
	if err == nil {
		_, err = socket.Write([]byte("READY=1"))
		err = errors.Join(err, socket.Close())
	}
	if err != nil {
		logger.Warn("cannot tell the service manager that the server is ready", "error", err)
	}
}

func hex(id uint64) string { return fmt.Sprintf("%x", id) }
