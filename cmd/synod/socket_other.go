//go:build !unix

package main

import (
	"errors"
	"syscall"
)

// socketOptions refuses what only Unix has.
func socketOptions(reusePort, reuseAddress bool) func(network, address string, socket syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		if reusePort || reuseAddress {
			return errors.New("--socket-reuse-port and --socket-reuse-address need Unix; leave them out")
		}
		return nil
	}
}
