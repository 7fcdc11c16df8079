package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"synod.dev/synod/internal/quiet"
)

// TestLossAndReturnOfAPeerAreALineEach plays connections of all classes that come and go, and reads what an operator does.
func TestLossAndReturnOfAPeerAreALineEach(t *testing.T) {
	gone, refusedConnect := errClosedByPeer, errors.New("connect: connection refused")
	stranger := &refusedByPeer{refusal{refusedByHandler, "removed"}}
	const trying, connected = "WARN no connection to peer: trying again", "INFO connected to peer"
	up := func(p *peer) {
		for class := range Class(classes) {
			p.opened(class, Identity{testCluster, 2, 102})
		}
	}
	down := func(p *peer) {
		for class := range Class(classes) {
			p.closed(class, gone)
			p.report("no connection to peer: trying again", gone)
			p.reportInbound("connection from peer ended", gone, class)
		}
		for range 100 {
			p.report("no connection to peer: trying again", refusedConnect)
		}
	}
	for name, tc := range map[string]struct {
		play func(p *peer)
		want []string
	}{
		"a peer that dies":                {func(p *peer) { up(p); down(p) }, []string{connected, trying}},
		"a peer that dies and comes back": {func(p *peer) { up(p); down(p); up(p) }, []string{connected, trying, connected}},
		"a link that flaps": {func(p *peer) {
			for range 50 {
				up(p)
				down(p)
			}
		}, []string{connected, trying, connected}},
		"a peer that stays away": {func(p *peer) { down(p); virtual(quiet.Interval); down(p) }, []string{trying, trying}},
		"a refusal has a line of its own": {func(p *peer) {
			down(p)
			p.refused(stranger, stranger)
			p.refused(stranger, fmt.Errorf("on the way in: %w", stranger))
		}, []string{trying, "WARN peer refuses this member: trying again"}},
		"a certificate has a line of its own": {func(p *peer) {
			down(p)
			p.report("no connection to peer: trying again", &tls.CertificateVerificationError{Err: errors.New("expired")})
		}, []string{trying, trying}},
		"damage on the way in is told": {func(p *peer) {
			for range 100 {
				p.reportInbound("connection from peer ended", errFramePayload, Control)
			}
		}, []string{"WARN connection from peer ended"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, 1, newPipes(), nil)
				var log bytes.Buffer
				p := newPeer(n.Transport, Peer{2, nowhere})
				p.log = slog.New(slog.NewTextHandler(&log, nil))
				tc.play(p)
				virtual(time.Second)
				if got := said(log.String()); strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
					t.Errorf("the log says\n%s\nwant\n%s", log.String(), strings.Join(tc.want, "\n"))
				}
			})
		})
	}
}

// said returns level and message of each line of a log in text.
func said(log string) (lines []string) {
	for _, m := range regexp.MustCompile(`level=(\w+) msg="([^"]+)"`).FindAllStringSubmatch(log, -1) {
		lines = append(lines, m[1]+" "+m[2])
	}
	return lines
}
