package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPeersComeAndGo(t *testing.T) {
	la, lb := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	a, b := start(t, 1, la, nil), start(t, 2, lb, nil)
	if a.Send(2, Control, numbered(0)) {
		t.Fatal("a frame was taken for a node that is no peer")
	}
	for round := range 3 {
		if err := errors.Join(a.SetPeers([]Peer{{2, b.address}}), b.SetPeers([]Peer{{1, a.address}})); err != nil {
			t.Fatal(err)
		}
		await(t, a.connected, "connection from 1 to 2")
		await(t, b.connected, "connection from 2 to 1")
		a.mustSend(t, 2, Control, numbered(round))
		if got := await(t, b.frames, "frame"); string(got.payload) != string(numbered(round)) {
			t.Fatalf("it receives %q", got.payload)
		}
		if err := b.SetPeers(nil); err != nil {
			t.Fatal(err)
		}
		await(t, b.disconnected, "end of the connection from 2 to 1")
		await(t, a.disconnected, "end of the connection from 1 to 2")
		awaitValue(t, a.refused, "refusal", func(reason string) bool { return strings.Contains(reason, "not among the members") })
		if b.Send(1, Control, numbered(round)) {
			t.Fatal("a frame was taken for a node that is no peer any more")
		}
		if err := a.SetPeers(nil); err != nil {
			t.Fatal(err)
		}
	}
}

// The Handler hears of one connection to a node at a time, however quickly its address changes.
func TestAPeerIsDialledWhereItIsNow(t *testing.T) {
	la, lb, lc := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	known := func(c *Config, _ *recorder) { c.Peers = []Peer{{1, la.Addr().String()}} }
	here := start(t, 2, lb, nil, known)
	there := start(t, 2, lc, nil, known)
	a := start(t, 1, la, []Peer{{2, here.address}})
	await(t, a.connected, "connection")
	for i := range 6 {
		to := []*node{there, here}[i%2]
		if err := a.SetPeers([]Peer{{2, to.address}}); err != nil {
			t.Fatal(err)
		}
	}
	// Here again: each one that was given up has ended, in order, before the last connects.
	await(t, a.disconnected, "end of the first connection")
	awaitValue(t, a.connected, "connection to the last address", func(Identity) bool { return a.Send(2, Control, numbered(1)) })
	await(t, here.frames, "frame")
}

func TestWhoIsAdmittedMayBecomeAPeerByThat(t *testing.T) {
	la, lb := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	var b *node
	made := make(chan struct{})
	b = start(t, 2, lb, nil, func(_ *Config, r *recorder) {
		r.admit = func(who Identity, _ []byte) error {
			<-made
			return b.SetPeers([]Peer{{who.Node, la.Addr().String()}})
		}
	})
	close(made)
	a := start(t, 1, la, []Peer{{2, b.address}})
	await(t, a.connected, "connection from 1 to 2")
	await(t, b.connected, "connection from 2 to 1")
}

func TestBadPeersAreRefusedAndThePresentOnesStay(t *testing.T) {
	a, b := pair(t)
	for _, peers := range [][]Peer{{{0, b.address}}, {{1, b.address}}, {{2, b.address}, {2, b.address}}, {{2, "nowhere"}}} {
		if err := a.SetPeers(peers); err == nil {
			t.Errorf("peers %v are taken", peers)
		}
	}
	a.mustSend(t, 2, Control, numbered(1))
	await(t, b.frames, "frame")
}

func TestAnInquiryIsAnsweredWithIdentityAndGreeting(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secured), func(t *testing.T) {
			var hooks []func(*Config, *recorder)
			cfg := Config{}
			if secured {
				cfg.TLS = newAuthority(t).member(t)
			}
			hooks = append(hooks, func(c *Config, _ *recorder) {
				c.TLS = cfg.TLS
				c.Greeting = func() []byte { return []byte("good day") }
			})
			n := start(t, 7, listen(t, "127.0.0.1:0"), nil, hooks...)
			who, greeting, err := Inquire(context.Background(), n.address, cfg.TLS)
			if err != nil || who != n.cfg.Self || string(greeting) != "good day" {
				t.Errorf("it says %v, %q, %v", who, greeting, err)
			}
			if _, _, err := Inquire(context.Background(), "127.0.0.1:1", cfg.TLS); err == nil {
				t.Error("nobody has answered")
			}
		})
	}
}
