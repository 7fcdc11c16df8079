package serverconfig

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"slices"
)

// TLS says which certificates to use towards one kind of partner.
type TLS struct {
	CertFile       string
	KeyFile        string
	ClientCertFile string // to dial with, if not CertFile
	ClientKeyFile  string
	TrustedCAFile  string // who signs the partners' certificates; naming it demands a certificate of each, as in etcd
	ClientCertAuth bool
	Auto           bool // serve under a certificate made up at start

	CRLFile          string   // certificates that are not accepted any more
	AllowedCNs       []string // if not empty, common names one of which a partner's certificate must have
	AllowedHostnames []string // likewise, host names or addresses; not both
}

func (t TLS) configured() bool { return !reflect.DeepEqual(t, TLS{}) }

// tlsLimits hold for clients and peers alike.
type tlsLimits struct {
	minVersion   uint16
	maxVersion   uint16 // 0: the highest there is
	cipherSuites []uint16
}

var tlsVersions = map[string]uint16{"TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13}

func setTLSMinVersion(c *Config, value string) (err error) {
	c.tlsLimits.minVersion, err = tlsVersion(value)
	return err
}

func setTLSMaxVersion(c *Config, value string) (err error) {
	if value != "" {
		c.tlsLimits.maxVersion, err = tlsVersion(value)
	}
	return err
}

func tlsVersion(name string) (uint16, error) {
	version, ok := tlsVersions[name]
	if !ok {
		return 0, errors.New("use TLS1.2 or TLS1.3")
	}
	return version, nil
}

// formerCipherSuites are names that Go and etcd had before for suites that are now named after their hash, too.
var formerCipherSuites = map[string]string{
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305":   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}

func setCipherSuites(c *Config, value string) error {
	for _, name := range list(value) {
		if now, former := formerCipherSuites[name]; former {
			name = now
		}
		i := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return fmt.Errorf("%s is unknown or insecure; use names such as %s", name, tls.CipherSuiteName(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256))
		}
		c.tlsLimits.cipherSuites = append(c.tlsLimits.cipherSuites, tls.CipherSuites()[i].ID)
	}
	return nil
}

// checkTLS finds contradictions between URLs and certificates.
func (c *Config) checkTLS() error {
	if err := c.ClientTLS.check("", c.clientURLs()); err != nil {
		return err
	}
	if err := c.PeerTLS.check("peer-", c.ListenPeer); err != nil {
		return err
	}
	switch limits := c.tlsLimits; {
	case slices.ContainsFunc(c.ListenPeer, func(u url.URL) bool { return Secure(u) != Secure(c.Self.PeerURL) }):
		return fmt.Errorf("--listen-peer-urls %s and --initial-advertise-peer-urls %s mix http and https; use one", joinURLs(c.ListenPeer), &c.Self.PeerURL)
	case Secure(c.Self.PeerURL) && c.PeerTLS.TrustedCAFile == "" && !c.PeerTLS.Auto:
		return errors.New("--peer-trusted-ca-file is missing: members verify each other's certificates; name the CA that signs them")
	case limits.maxVersion != 0 && limits.maxVersion < limits.minVersion:
		return errors.New("--tls-max-version is below --tls-min-version; correct one")
	case limits.minVersion == tls.VersionTLS13 && len(limits.cipherSuites) > 0:
		return errors.New("--cipher-suites has no effect with --tls-min-version TLS1.3; leave one out")
	}
	return nil
}

// check compares certificates with the URLs they are for; prefix is that of the flags.
func (t TLS) check(prefix string, urls []url.URL) error {
	secure := slices.IndexFunc(urls, Secure)
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		return fmt.Errorf("--%scert-file and --%skey-file go together; give both", prefix, prefix)
	case t.Auto && t.CertFile != "":
		return fmt.Errorf("--%sauto-tls and --%scert-file exclude each other; give one", prefix, prefix)
	case (t.ClientCertFile == "") != (t.ClientKeyFile == ""):
		return fmt.Errorf("--%sclient-cert-file and --%sclient-key-file go together; give both", prefix, prefix)
	case t.ClientCertFile != "" && t.CertFile == "":
		return fmt.Errorf("--%sclient-cert-file needs --%scert-file, to serve under; give both", prefix, prefix)
	case len(t.AllowedCNs) > 0 && len(t.AllowedHostnames) > 0:
		return fmt.Errorf("--%scert-allowed-cn and --%scert-allowed-hostname exclude each other; give one", prefix, prefix)
	case len(t.AllowedCNs)+len(t.AllowedHostnames) > 0 && t.TrustedCAFile == "":
		return fmt.Errorf("names are read in certificates that a CA has signed; give --%strusted-ca-file, too", prefix)
	case t.CRLFile != "" && t.TrustedCAFile == "":
		return fmt.Errorf("--%s needs --%strusted-ca-file: without it no certificate is asked for; name the CA to trust", crlFlag(prefix), prefix)
	case t.ClientCertAuth && t.TrustedCAFile == "":
		return fmt.Errorf("--%sclient-cert-auth needs --%strusted-ca-file; name the CA to trust", prefix, prefix)
	case secure >= 0 && t.CertFile == "" && !t.Auto:
		return fmt.Errorf("%s needs --%scert-file and --%skey-file; give them or use http://", &urls[secure], prefix, prefix)
	case secure < 0 && t.configured():
		return fmt.Errorf("the %scertificate flags have no effect: no URL for them is https://; use https:// or leave them out", prefix)
	}
	return nil
}

// ClientListenTLS loads what client and metrics listeners with https:// need; nil if there are none.
func (c *Config) ClientListenTLS(logger *slog.Logger) (*tls.Config, error) {
	if !c.ClientTLS.configured() {
		return nil, nil
	}
	if c.ClientTLS.Auto {
		certificate, err := selfSigned(c.clientURLs(), c.selfSignedYears)
		if err != nil {
			return nil, fmt.Errorf("cannot make a certificate for --auto-tls: %w", err)
		}
		config := c.tlsLimits.config()
		config.Certificates = []tls.Certificate{certificate}
		return config, c.ClientTLS.demand(config, "")
	}
	return c.load(c.ClientTLS, "", logger)
}

// clientURLs are those under which clients' certificates are shown.
func (c *Config) clientURLs() []url.URL {
	return slices.Concat(c.ListenClient, c.ListenClientHTTP, c.ListenMetrics)
}

// PeerMutualTLS loads what members use towards each other, in both directions: each must show a certificate
// of the trusted CA. It is nil if members speak plain TCP.
func (c *Config) PeerMutualTLS(logger *slog.Logger) (*tls.Config, error) {
	if !c.PeerTLS.configured() {
		return nil, nil
	}
	config, err := c.peerCertificates(logger)
	if err != nil {
		return nil, err
	}
	config.RootCAs = config.ClientCAs
	if config.MaxVersion == 0 || config.MaxVersion >= tls.VersionTLS13 {
		config.MinVersion = tls.VersionTLS13
	}
	return config, nil
}

func (c *Config) peerCertificates(logger *slog.Logger) (*tls.Config, error) {
	if !c.PeerTLS.Auto {
		return c.load(c.PeerTLS, "peer-", logger)
	}
	certificate, authority, err := tokenSigned(c.InitialClusterToken, append(slices.Clone(c.ListenPeer), c.Self.PeerURL), c.selfSignedYears)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate for --peer-auto-tls: %w", err)
	}
	config := c.tlsLimits.config()
	config.Certificates = []tls.Certificate{certificate}
	config.ClientCAs = x509.NewCertPool()
	config.ClientCAs.AddCert(authority)
	return config, nil
}

func (c *Config) load(t TLS, prefix string, logger *slog.Logger) (*tls.Config, error) {
	serve, dial, err := t.keyPairs(prefix, logger)
	if err != nil {
		return nil, err
	}
	config := c.tlsLimits.config()
	config.GetCertificate, config.GetClientCertificate = serve.serve, dial.dial
	return config, t.demand(config, prefix)
}

// demand lets config ask the partner for a certificate, if there is a CA that it should be of.
func (t TLS) demand(config *tls.Config, prefix string) (err error) {
	if config.VerifyConnection, err = t.verifier(prefix); err != nil || t.TrustedCAFile == "" {
		return err
	}
	pem, err := os.ReadFile(t.TrustedCAFile)
	if err != nil {
		return fmt.Errorf("--%strusted-ca-file: %w", prefix, err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("--%strusted-ca-file: %s holds no certificate in PEM form", prefix, t.TrustedCAFile)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return nil
}

func (l tlsLimits) config() *tls.Config {
	return &tls.Config{MinVersion: l.minVersion, MaxVersion: l.maxVersion, CipherSuites: l.cipherSuites}
}
