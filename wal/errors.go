package wal

import "errors"

var (
	// ErrFailed means a write, sync, rename or the like has failed. It is final: what is on disk is in doubt until the log is
	// opened anew.
	ErrFailed = errors.New("wal: log has failed")
	// ErrClosed means the log was closed.
	ErrClosed = errors.New("wal: log is closed")
	// ErrNotFormatted means there is no log in the directory, and Options has no incarnation to format one with.
	ErrNotFormatted = errors.New("wal: directory holds no log")
	// ErrForeign means the directory belongs to another cluster or node.
	ErrForeign = errors.New("wal: directory belongs to another member")
	// ErrVersion means the directory was written in a format of a newer major version.
	ErrVersion = errors.New("wal: format is too new")
	// ErrMayNotVote means that something this member promised may be lost, and cannot even be attributed to a slot.
	// It must not come back under its old incarnation.
	ErrMayNotVote = errors.New("wal: this member may not vote")
	// ErrUnknown means the last record of the slot is there but damaged: what it said is known neither to be something nor nothing.
	ErrUnknown = errors.New("wal: record is damaged")
	// ErrTrimmed means the slot lies in the part of the log that has been trimmed.
	ErrTrimmed = errors.New("wal: slot is trimmed")
	// ErrNotFound means the log has no record of the slot.
	ErrNotFound = errors.New("wal: no record of this slot")
	// ErrTooLarge means a record's value is longer than paxos.MaxValueBytes. Nothing was appended.
	ErrTooLarge = errors.New("wal: record is too large")
	// ErrFounders means the founders are set already, to something else, or are too many bytes.
	ErrFounders = errors.New("wal: founders not set")
)
