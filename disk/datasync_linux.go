package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// Datasync is fdatasync: on a file whose blocks are already written it costs no journal commit.
// A signal may interrupt it before it has begun; only then is it called again.
func (f osFile) Datasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
