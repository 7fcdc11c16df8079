package etcdsnapshot

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// pieceBytes is how much of a snapshot goes into one message, as in etcd.
const pieceBytes = 32 << 10

// Stream calls send with each piece of a snapshot that Write has made, and last with its hash, and says how much is to come after it. What send is given is its own to
// keep. It returns the first error of send as it is.
func Stream(path string, send func(piece []byte, remaining int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("etcdsnapshot: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("etcdsnapshot: %w", err)
	}
	h := sha256.New()
	for remaining := info.Size(); remaining > 0; {
		piece := make([]byte, min(remaining, pieceBytes))
		if _, err := io.ReadFull(f, piece); err != nil {
			return fmt.Errorf("etcdsnapshot: %w", err)
		}
		h.Write(piece)
		remaining -= int64(len(piece))
		if err := send(piece, remaining); err != nil {
			return err
		}
	}
	return send(h.Sum(nil), 0)
}
