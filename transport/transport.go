// Package transport carries frames of opaque bytes between the members of one cluster, over TCP or mutual TLS.
//
// A frame may be lost, and after a loss the sender is not told: whoever sends must be able to send again. But a frame is
// never delivered in part, never delivered altered, and never from a party that the Handler did not admit. Within one Class the frames that
// one member sends another arrive in the order of Send.
//
// Each Class of each direction is a TCP connection of its own: the member that dials sends, the one that
// accepts receives. So a heartbeat never waits behind bulk. The wire format is in docs/wire.md.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Identity names one life of one member.
type Identity struct {
	Cluster     uint64
	Node        uint64 // not 0
	Incarnation uint64
}

// Peer is another member and where it listens.
type Peer struct {
	Node    uint64
	Address string // host:port, resolved anew each time it is dialled, or unix: and the path of a socket
}

// Class sorts frames by urgency. The numbers are part of the wire format.
type Class uint8

const (
	Control     Class = 0 // small and urgent: heartbeats, elections, votes, reads
	Replication Class = 1 // values on their way to acceptors
	Background  Class = 2 // bulk that can wait: catch-up

	classes = 3
)

func (c Class) String() string {
	switch c {
	case Control:
		return "control"
	case Replication:
		return "replication"
	case Background:
		return "background"
	}
	return fmt.Sprintf("class-%d", uint8(c))
}

// Handler is the owner of a Transport. Its methods are called from many goroutines at once. Close waits for
// calls under way, so none of them may call Close or wait for whoever does.
type Handler interface {
	// Admit judges a peer of the same cluster, once for each connection in either direction, before any frame
	// passes. An error refuses the connection; its text, cut to one line of 256 bytes, is told to the
	// peer. The greeting is the peer's Config.Greeting and may be kept. Admit should return within milliseconds.
	// It is asked about nodes that are not among the peers, too, and may call SetPeers: who is none after that is refused.
	Admit(peer Identity, greeting []byte) error

	// Receive takes one frame; payload is the callee's from then on. One connection calls it for one frame at a time, and
	// does not read on before it has returned: to block is to press back on that class of that peer alone.
	// The sender gives up on a connection that takes nothing for Config.IdleTimeout.
	Receive(peer Identity, class Class, payload []byte)

	// Connected says that Send can reach peer in every class; Disconnected, that it no longer can, and why.
	// They alternate, and for one peer are never called at the same time. They must return at once.
	// Frames from a peer may well arrive while it is not connected in this sense: that is the other direction.
	Connected(peer Identity)
	Disconnected(peer Identity, reason error)

	// Refused says that the peer did not admit this node, and in what words. It is called for each attempt.
	Refused(node uint64, reason string)
}

// Defaults and fixed bounds.
const (
	// MaxGreetingBytes bounds what Config.Greeting may return.
	MaxGreetingBytes = 64 << 10

	defaultMaxFrameBytes    = 80 << 20
	defaultQueueFrames      = 16 << 10
	defaultQueueBytes       = 128 << 20
	defaultMaxHandshakes    = 64
	defaultHandshakeTimeout = 5 * time.Second
	defaultIdleTimeout      = 5 * time.Second
)

// Config says what a Transport is to be. Self, Listener and Handler are required.
type Config struct {
	Self Identity
	// Greeting returns opaque bytes for the peer's Handler.Admit, at most MaxGreetingBytes, asked anew for each
	// connection from any goroutine. Nil means none.
	Greeting func() []byte
	// Peers are the other members; Self is not among them. SetPeers changes them.
	Peers []Peer
	// Listener is already bound. The Transport owns it from New on, if New succeeds.
	Listener net.Listener
	// TLS, if not nil, is used in both directions. Whatever it says, both sides must show a certificate that the other
	// verifies: against RootCAs when dialling, against ClientCAs (RootCAs, if nil) when accepting. The
	// least version is 1.3 unless it says otherwise; the name verified is the host in the peer's address, unless it names one.
	TLS     *tls.Config
	Handler Handler
	Logger  *slog.Logger // default slog.Default()

	// MaxFrameBytes bounds the payload of a frame, sent or received. Default 80 MiB; at most 1 GiB.
	MaxFrameBytes int
	// QueueFrames and QueueBytes bound what waits for one peer in one class. Defaults 16,384 frames and 128 MiB;
	// QueueBytes is at least MaxFrameBytes.
	QueueFrames int
	QueueBytes  int
	// MaxHandshakes bounds the inbound connections that have not been admitted yet: one more ends the
	// oldest of them. Default 64. Beyond those there are never more than two for each peer and class, removed ones that are ending aside.
	MaxHandshakes int
	// HandshakeTimeout bounds the time from dialling or accepting to the first frame. Default 5 s.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long a connection may give no sign of life, in either direction, before it is closed and
	// what is queued for it dropped. Default 5 s; alike on all members, as each gives four signs of life within its own.
	IdleTimeout time.Duration
}

// Transport is the network of one member. Its methods may be called from any goroutine.
type Transport struct {
	cfg       Config
	log       *slog.Logger
	serverTLS *tls.Config // nil for plain TCP
	peers     atomic.Pointer[peerSet]
	strangers complaints // log lines about inbound connections that were not admitted

	context context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	state   sync.Mutex // guards started, the end of context, and changes of peers; nothing waits under it
	started bool
	closing sync.Once // makes Close wait for Close
}

// New checks cfg and makes a Transport that is still at rest: Start sets it going.
func New(cfg Config) (*Transport, error) {
	setDefaults(&cfg)
	if err := validate(&cfg); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	t := &Transport{cfg: cfg, log: cfg.Logger}
	if cfg.TLS != nil {
		t.serverTLS = serverTLS(cfg.TLS)
	}
	t.context, t.cancel = context.WithCancel(context.Background())
	t.peers.Store(t.replacePeers(&peerSet{}, cfg.Peers))
	return t, nil
}

func setDefaults(cfg *Config) {
	if cfg.Greeting == nil {
		cfg.Greeting = func() []byte { return nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	orDefault(&cfg.MaxFrameBytes, defaultMaxFrameBytes)
	orDefault(&cfg.QueueFrames, defaultQueueFrames)
	orDefault(&cfg.QueueBytes, max(defaultQueueBytes, cfg.MaxFrameBytes))
	orDefault(&cfg.MaxHandshakes, defaultMaxHandshakes)
	orDefault(&cfg.HandshakeTimeout, defaultHandshakeTimeout)
	orDefault(&cfg.IdleTimeout, defaultIdleTimeout)
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func validate(cfg *Config) error {
	switch {
	case cfg.Self.Node == 0:
		return errors.New("Self.Node is 0: give this node its ID")
	case cfg.Listener == nil:
		return errors.New("no Listener: bind one first")
	case cfg.Handler == nil:
		return errors.New("no Handler")
	case cfg.MaxFrameBytes < 0 || cfg.MaxFrameBytes > 1<<30:
		return fmt.Errorf("MaxFrameBytes is %d: it must be between 1 and 1 GiB", cfg.MaxFrameBytes)
	case cfg.QueueFrames < 0 || cfg.QueueBytes < cfg.MaxFrameBytes:
		return fmt.Errorf("a queue of %d frames and %d bytes cannot hold one frame of %d bytes: enlarge it",
			cfg.QueueFrames, cfg.QueueBytes, cfg.MaxFrameBytes)
	case cfg.MaxHandshakes < 0 || cfg.HandshakeTimeout < 0 || cfg.IdleTimeout < 0:
		return errors.New("MaxHandshakes, HandshakeTimeout and IdleTimeout must not be negative")
	}
	if err := validatePeers(cfg.Self.Node, cfg.Peers); err != nil {
		return err
	}
	return validateTLS(cfg.TLS)
}

// networkOf returns network and address of a peer as net.Dial wants them.
func networkOf(address string) (network, rest string) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		return "unix", path
	}
	return "tcp", address
}

// Start begins to accept and to dial. A second call, and one after Close, does nothing.
func (t *Transport) Start() {
	t.state.Lock()
	defer t.state.Unlock()
	if t.started || t.context.Err() != nil {
		return
	}
	t.started = true
	t.running.Go(t.accept)
	for _, p := range t.peers.Load().list {
		t.launch(p)
	}
}

// Close ends all connections, drops what is queued, and returns when every goroutine of the Transport has ended and the
// Handler will not be called again. It closes the listener. The error is the listener's.
func (t *Transport) Close() error {
	var err error
	t.closing.Do(func() {
		t.state.Lock()
		t.cancel()
		t.state.Unlock()
		err = t.cfg.Listener.Close()
		t.running.Wait()
	})
	if err != nil {
		return fmt.Errorf("transport: close listener: %w", err)
	}
	return nil
}

// Send queues one frame, whose payload is the slices one after the other, and never blocks. It reports false if
// the frame was dropped: the peer is unknown or not connected in that class, its queue is full, or the frame
// exceeds Config.MaxFrameBytes. True is no promise that it arrives.
//
// The slices, and the list of them, must not be changed after; they may be sent to several peers.
func (t *Transport) Send(to uint64, class Class, payload ...[]byte) bool {
	p := t.peers.Load().byNode[to]
	return p != nil && p.senders[class].send(payload)
}
