package freeport

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

func TestAddressesAreFreeAndStaySo(t *testing.T) {
	given := map[string]bool{}
	for range 10 {
		addresses, err := Take(10)
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range addresses {
			if given[address] {
				t.Errorf("%s was given twice", address)
			}
			given[address] = true
			if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("somebody is at %s: %v, %v", address, conn, err)
			}
			if take(address) {
				t.Errorf("%s can be taken by another", address)
			}
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
	}
}

func TestAnAddressSomebodyListensOnIsNotTaken(t *testing.T) {
	addresses, err := Take(1)
	if err != nil {
		t.Fatal(err)
	}
	// As by a server that has not asked here.
	claims.Lock()
	claims.sockets[len(claims.sockets)-1].Close()
	claims.Unlock()
	l, err := net.Listen("tcp", addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if take(addresses[0]) {
		t.Error("it is taken")
	}
}

// A process that is being started holds, until its program runs, whatever its parent had open; a listener that the parent has closed meanwhile listens until then.
func TestAnAddressCanBeListenedOnWhileProcessesStart(t *testing.T) {
	const takes, starters = 300, 4
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var starting sync.WaitGroup
	defer starting.Wait()
	defer close(done)
	for range starters {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := exec.Command(self, "-test.run", "^$").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range takes {
		addresses, err := Take(1)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
