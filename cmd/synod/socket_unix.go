//go:build unix

package main

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketOptions returns what is to be set on a socket before it is bound.
func socketOptions(reusePort, reuseAddress bool) func(network, address string, socket syscall.RawConn) error {
	return func(_, _ string, socket syscall.RawConn) error {
		var err error
		set := func(fd uintptr) {
			if reusePort {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
			}
			if reuseAddress {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
			}
		}
		if unreachable := socket.Control(set); unreachable != nil {
			return unreachable
		}
		return err
	}
}
