package synod

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"synod.dev/synod/session"
)

// SessionServer takes commands of sessions: a Node, or what stands for one that is reached over a network.
type SessionServer interface {
	ProposeInSession(ctx context.Context, c SessionCommand) ([]byte, error)
}

// Session is a client's side of a session: it numbers commands, tries each until its outcome is known, and says what it has learned. Its methods are safe for concurrent use; commands that are
// under way at the same time are executed in any order, and at most session.OutstandingMax are.
type Session struct {
	id      session.ID
	servers []SessionServer

	mu    sync.Mutex
	turn  int                 // of the servers
	last  uint64              // sequence given out
	open  map[uint64]struct{} // sequences whose outcome is not known yet
	moved chan struct{}       // closed, and made anew, when a command has ended
}

const (
	attemptTimeout  = 2 * time.Second // after which a command is tried again: it may have been lost on its way
	attemptPauseMin = 5 * time.Millisecond
	attemptPauseMax = 500 * time.Millisecond
)

// OpenSession opens a session that lives until it is closed, or has not been used for ttl by the time in the log. Commands go to one server until that cannot help, then to the next.
func OpenSession(ctx context.Context, ttl time.Duration, servers ...SessionServer) (*Session, error) {
	if len(servers) == 0 || ttl <= 0 {
		return nil, fmt.Errorf("synod: a session needs servers to send its commands to and a time to live, not %d and %v", len(servers), ttl)
	}
	s := &Session{servers: servers, open: map[uint64]struct{}{}, moved: make(chan struct{})}
	result, err := s.attempt(ctx, SessionCommand{Header: session.Header{Kind: session.Open, TTL: ttl}})
	if err != nil {
		return nil, err
	}
	if len(result) != 8 {
		return nil, fmt.Errorf("synod: a server answers %d bytes to the opening of a session", len(result))
	}
	s.id = session.ID(binary.LittleEndian.Uint64(result))
	return s, nil
}

// ID returns the session's name in the log.
func (s *Session) ID() session.ID { return s.id }

// Propose has a command executed exactly once, and returns its result. It tries until ctx ends, through one server after the other.
//
// If ctx ends too early the error is ErrUnknown if the command may have been executed, or may yet; any other error says that it was not and never will be, unless it is ErrUnknown, or ErrResultForgotten, as well. With
// ErrSessionExpired the session is of no use any more.
func (s *Session) Propose(ctx context.Context, data []byte) ([]byte, error) {
	sequence, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end(sequence)
	return s.attempt(ctx, SessionCommand{Header: session.Header{Kind: session.Execute, Session: s.id, Sequence: sequence}, Data: data})
}

// Close ends the session, so that nothing of it is remembered any more. Commands under way get ErrSessionExpired.
func (s *Session) Close(ctx context.Context) error {
	_, err := s.attempt(ctx, SessionCommand{Header: session.Header{Kind: session.Close, Session: s.id}})
	if errors.Is(err, ErrSessionExpired) {
		return nil // whoever has ended it
	}
	return err
}

// begin gives out a sequence as soon as the table is sure to have room for it.
func (s *Session) begin(ctx context.Context) (uint64, error) {
	for {
		s.mu.Lock()
		if s.last-s.acknowledged() < session.OutstandingMax {
			s.last++
			sequence := s.last
			s.open[sequence] = struct{}{}
			s.mu.Unlock()
			return sequence, nil
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, fmt.Errorf("synod: %w: the command did not happen", ctx.Err())
		}
	}
}

// end says that nobody asks for a command again.
func (s *Session) end(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sequence)
	close(s.moved)
	s.moved = make(chan struct{})
}

// acknowledged returns up to which sequence all outcomes are known, or will not be asked for. The caller holds s.mu.
func (s *Session) acknowledged() uint64 {
	least := s.last + 1
	for sequence := range s.open {
		least = min(least, sequence)
	}
	return least - 1
}

// attempt proposes a command until its outcome is known, ctx ends, or every server has ended.
func (s *Session) attempt(ctx context.Context, c SessionCommand) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("synod: %w: the command did not happen", err)
	}
	pause, inDoubt, ended := attemptPauseMin, false, 0
	for {
		turn, result, err := s.try(ctx, c)
		switch {
		case err == nil, errors.Is(err, ErrResultForgotten):
			return result, err
		case errors.Is(err, ErrSessionExpired), errors.Is(err, ErrSessionFull), errors.Is(err, ErrNoSessions), errors.Is(err, ErrTooLarge):
			return nil, orUnknown(err, inDoubt)
		case errors.Is(err, ErrClosed), errors.Is(err, ErrFailed):
			if ended++; ended == len(s.servers) {
				return nil, orUnknown(err, inDoubt)
			}
		case errors.Is(err, ErrNoLeader), errors.Is(err, ErrOverloaded):
			ended = 0
		default:
			ended, inDoubt = 0, true
		}
		s.turnFrom(turn)
		rest := time.NewTimer(pause)
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return nil, orUnknown(err, inDoubt)
		}
		pause = min(2*pause, attemptPauseMax)
	}
}

// try proposes a command once, through the server whose turn it is.
func (s *Session) try(ctx context.Context, c SessionCommand) (turn int, result []byte, err error) {
	s.mu.Lock()
	turn, c.Acknowledged = s.turn, s.acknowledged()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	result, err = s.servers[turn].ProposeInSession(ctx, c)
	return turn, result, err
}

// turnFrom gives the next server its turn, unless somebody else has already.
func (s *Session) turnFrom(turn int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == turn {
		s.turn = (turn + 1) % len(s.servers)
	}
}

// orUnknown makes of the error of the last attempt that of all of them: if an earlier one is in doubt, so is the command.
func orUnknown(err error, inDoubt bool) error {
	if inDoubt && !errors.Is(err, ErrUnknown) {
		return fmt.Errorf("%w, at an earlier attempt; the last one says: %w", ErrUnknown, err)
	}
	return err
}
