package serverconfig

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate and its key in two files. They are read again when they have changed, so that a certificate is renewed without a restart.
// While the files do not fit together, as between the replacement of one and of the other, the pair that was read last stays.
type keyPair struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu          sync.Mutex
	seen        [2]fileStamp // of the files when they were last read
	certificate *tls.Certificate
}

// fileStamp tells versions of a file apart.
type fileStamp struct {
	modified time.Time
	size     int64
}

func loadKeyPair(certFile, keyFile string, logger *slog.Logger) (*keyPair, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile, logger: logger}
	var err error
	if p.seen, err = p.stamps(); err != nil {
		return nil, err
	}
	p.certificate, err = p.load()
	return p, err
}

func (p *keyPair) load() (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	return &certificate, err
}

func (p *keyPair) stamps() (stamps [2]fileStamp, err error) {
	for i, file := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return stamps, err
		}
		stamps[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

// current returns the pair as it is on disk now, or the last one that was sound. It may be called from any goroutine.
func (p *keyPair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamps, err := p.stamps()
	if err == nil && stamps == p.seen {
		return p.certificate
	}
	fresh := p.certificate
	if err == nil {
		fresh, err = p.load()
	}
	if err != nil {
		if stamps != p.seen { // once for each version
			p.logger.Warn("a renewed certificate cannot be used, the last one stays: correct the files", "error", err)
		}
		p.seen = stamps
		return p.certificate
	}
	p.certificate, p.seen = fresh, stamps
	p.logger.Info("a renewed certificate is in use", "file", p.certFile)
	return p.certificate
}

// serve and dial are a tls.Config's hooks.
func (p *keyPair) serve(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current(), nil }
func (p *keyPair) dial(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return p.current(), nil
}

// keyPairs are the certificate to serve under and the one to dial with, which is the same unless files of its own are named.
func (t TLS) keyPairs(prefix string, logger *slog.Logger) (serve, dial *keyPair, err error) {
	if serve, err = loadKeyPair(t.CertFile, t.KeyFile, logger); err != nil {
		return nil, nil, fmt.Errorf("--%scert-file, --%skey-file: %w", prefix, prefix, err)
	}
	if t.ClientCertFile == "" {
		return serve, serve, nil
	}
	if dial, err = loadKeyPair(t.ClientCertFile, t.ClientKeyFile, logger); err != nil {
		return nil, nil, fmt.Errorf("--%sclient-cert-file, --%sclient-key-file: %w", prefix, prefix, err)
	}
	return serve, dial, nil
}
