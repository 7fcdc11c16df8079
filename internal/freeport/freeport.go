// Package freeport finds addresses of this machine for servers that are to be started: nobody listens on them, and nobody takes them before the server does, or while it is down.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// Ports are taken from below those that Linux gives to outgoing connections (32,768 on, by default), or to a listener that asks for any.
const (
	first    = 10_000
	count    = 20_000
	attempts = 1000
)

// patience bounds the wait for an answer from a port: loopback refuses at once.
const patience = time.Second

// Take returns n addresses on loopback, host and port, all different from each other and from those of other calls, in this process and in all that run at the same time.
//
// What claims a port is a UDP socket of that number, which is open as long as the process lives: TCP is left to the server. Safe for concurrent use.
func Take(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range attempts + n {
		if len(addresses) == n {
			return addresses, nil
		}
		if address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count)); take(address) {
			addresses = append(addresses, address)
		}
	}
	return nil, fmt.Errorf("cannot find %d free ports from %d to %d", n, first, first+count-1)
}

// claims keeps the sockets from being collected, and so closed.
var claims struct {
	sync.Mutex
	sockets []net.PacketConn
}

// take claims an address, if it is free and nobody listens on it.
//
// It asks by a connection and never listens itself: a process that this one starts at that moment holds, until its program runs, a copy of every
// socket that is open here, and so would listen on for a while after this process has closed its listener.
func take(address string) bool {
	claim, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	conn, err := net.DialTimeout("tcp", address, patience)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		claim.Close()
		return false
	}
	claims.Lock()
	defer claims.Unlock()
	claims.sockets = append(claims.sockets, claim)
	return true
}
