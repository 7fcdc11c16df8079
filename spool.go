package synod

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/snapshot"
)

// spool keeps the chunks of a snapshot that is on its way here, so that a receiver that is restarted goes on where it was. There is one at most, and none of what the machines hold already. It is an aid and
// no more: what it has is believed by the hashes alone, so it is never synced, and an error of its disk costs what was kept, not the transfer. One goroutine uses it at a time.
//
// Little endian: sender 8, number of the transfer 8, then the chunks as they came.
type spool struct {
	fs     disk.FS
	path   string
	logger *slog.Logger

	file     disk.File    // nil if nothing is kept
	from     paxos.NodeID // who sent it
	transfer uint64       // under this number; 0 if the sender is known not to have it any more
	first    []byte       // its first chunk
	slot     paxos.Slot   // that it is of
	chunks   uint32       // how many are kept
	end      int64        // where the next one goes
}

const (
	spoolName      = "snapshot.fetched.tmp"
	spoolHeadBytes = 8 + 8
)

// openSpool finds what an earlier process has kept. What is not sound is removed.
func openSpool(files disk.FS, path string, logger *slog.Logger) *spool {
	s := &spool{fs: files, path: path, logger: logger}
	file, err := files.OpenWrite(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	s.file = file
	if err == nil {
		err = s.read()
	}
	if err != nil {
		s.lose(err)
	}
	return s
}

func (s *spool) read() error {
	head := make([]byte, spoolHeadBytes)
	if n, err := s.file.ReadAt(head, 0); n < len(head) {
		return fmt.Errorf("it is cut: %w", err)
	}
	s.from, s.transfer = paxos.NodeID(binary.LittleEndian.Uint64(head)), binary.LittleEndian.Uint64(head[8:])
	first, err := s.source()(0)
	if err != nil {
		return err
	}
	s.first = bytes.Clone(first)
	h, err := snapshot.ReadHeader(func(uint32) ([]byte, error) { return s.first, nil }, 1)
	if err != nil {
		return err
	}
	s.slot = h.Slot
	var size int64
	s.chunks, size, err = snapshot.Count(s.content())
	s.end = spoolHeadBytes + size
	return err
}

func (s *spool) content() io.ReaderAt {
	return io.NewSectionReader(s.file, spoolHeadBytes, math.MaxInt64-spoolHeadBytes)
}

// source gives what is kept, from the first chunk on.
func (s *spool) source() snapshot.Source { return snapshot.FileSource(s.content()) }

// holds reports whether anything is kept.
func (s *spool) holds() bool { return s.file != nil }

// begins reports whether what is kept begins as a snapshot that is offered. If it does not go on alike, its hashes will tell.
func (s *spool) begins(first []byte) bool { return s.holds() && bytes.Equal(s.first, first) }

// begin forgets what is kept, for another snapshot.
func (s *spool) begin(from paxos.NodeID, transfer uint64) {
	s.discard()
	file, err := s.fs.Create(s.path)
	if err == nil {
		s.file, s.end = file, spoolHeadBytes
		err = s.belong(from, transfer)
	}
	if err != nil {
		s.lose(err)
	}
}

// belong notes who sends what is kept from now on.
func (s *spool) belong(from paxos.NodeID, transfer uint64) error {
	s.from, s.transfer = from, transfer
	head := binary.LittleEndian.AppendUint64(nil, uint64(from))
	_, err := s.file.WriteAt(binary.LittleEndian.AppendUint64(head, transfer), 0)
	return err
}

// keep adds the chunk of an index, which has proven sound, if it is the next.
func (s *spool) keep(index uint32, chunk []byte) {
	if !s.holds() || index != s.chunks {
		return
	}
	if _, err := s.file.WriteAt(chunk, s.end); err != nil {
		s.lose(err)
		return
	}
	if index == 0 {
		s.first = chunk
	}
	s.chunks++
	s.end += int64(len(chunk))
}

// lose removes what cannot be kept.
func (s *spool) lose(err error) {
	s.logger.Warn("what has come of a snapshot is not kept: after a restart it will be fetched from its beginning", "error", err)
	s.discard()
}

// discard removes what is kept. What cannot be removed is, at the next start or by the next transfer.
func (s *spool) discard() {
	if s.file != nil {
		if err := s.file.Close(); err != nil {
			s.logger.Warn("what was kept of a snapshot cannot be closed", "error", err)
		}
	}
	if err := s.fs.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.logger.Warn("what was kept of a snapshot cannot be removed", "error", err)
	}
	*s = spool{fs: s.fs, path: s.path, logger: s.logger}
}
