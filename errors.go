package synod

import "errors"

// Errors state the outcome: either the command did not happen and never will, or it is not known whether it did.
var (
	// ErrUnknown means the command may have been applied, or may yet be: the leader changed, or the caller's
	// context ended, after the command had been handed over. Read the state before trying again.
	ErrUnknown = errors.New("synod: outcome unknown: the command may or may not take effect")

	// ErrNoLeader means there was no leader to hand the command to before the context ended. It did not happen.
	ErrNoLeader = errors.New("synod: no leader: the command did not happen")

	// ErrOverloaded means a queue was full, by count or by bytes, here or at the leader. The command did not happen, the read was not made;
	// try again more slowly.
	ErrOverloaded = errors.New("synod: overloaded: it did not happen")

	// ErrTooLarge means the command is larger than Config.MaxCommandBytes. It did not happen.
	ErrTooLarge = errors.New("synod: command too large: it did not happen")

	// ErrClosed means the node is closed or closing. A command that was not yet handed over did not happen.
	ErrClosed = errors.New("synod: node is closed")

	// ErrFailed means the node has stopped for good because its disk or its state could not be trusted; Node.Err says why.
	ErrFailed = errors.New("synod: node has failed")

	// ErrSessionExpired means the session has ended: it was closed, or not used for its TTL, or too many others have been opened since. The command did not happen at this attempt, and never will at a later one;
	// if an earlier attempt may have been the one, the error is ErrUnknown as well.
	ErrSessionExpired = errors.New("synod: the session has ended: open another one")

	// ErrResultForgotten means the command of a session is not executed again, and its result is no longer known to this member: it was acknowledged, or had to make room, or was lost in a crash. It happened, once,
	// unless it was acknowledged without ever having been handed over.
	ErrResultForgotten = errors.New("synod: the command is not executed again, and its result is not remembered")

	// ErrSessionFull means more of the session's commands have been executed than its client has acknowledged. The command did not happen.
	ErrSessionFull = errors.New("synod: too many commands of the session are unacknowledged: it did not happen")

	// ErrNoSessions means Config.Sessions is not set. The command did not happen.
	ErrNoSessions = errors.New("synod: Config.Sessions is not set: there are no sessions, and it did not happen")

	// ErrNoMachine means this member does not learn, and so has nothing to be read. Ask another.
	ErrNoMachine = errors.New("synod: this member has no state machine: ask one that has")

	// ErrReadTimeout means no quorum confirmed, before the context ended, that a read would see every acknowledged write.
	ErrReadTimeout = errors.New("synod: read could not be confirmed in time")
)
