package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

func validateTLS(cfg *tls.Config) error {
	switch {
	case cfg == nil:
		return nil
	case cfg.InsecureSkipVerify:
		return errors.New("TLS.InsecureSkipVerify is set: members must verify each other, give RootCAs instead")
	case cfg.RootCAs == nil:
		return errors.New("TLS.RootCAs is nil: give the authority that signs the members' certificates")
	case len(cfg.Certificates) == 0 && (cfg.GetCertificate == nil || cfg.GetClientCertificate == nil):
		return errors.New("TLS has no certificate for both directions: give Certificates, or GetCertificate and GetClientCertificate")
	}
	return nil
}

// serverTLS is cfg for accepting: a peer without a certificate that a member's authority has signed is refused.
func serverTLS(cfg *tls.Config) *tls.Config {
	cfg = atLeast13(cfg)
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if cfg.ClientCAs == nil {
		cfg.ClientCAs = cfg.RootCAs
	}
	return cfg
}

// clientTLS is cfg for dialling address. A socket in the file system has no name to verify: its peer is verified as one on this machine.
func clientTLS(cfg *tls.Config, address string) *tls.Config {
	cfg = atLeast13(cfg)
	switch network, address := networkOf(address); {
	case cfg.ServerName != "":
	case network == "unix":
		cfg.ServerName = "localhost"
	default:
		cfg.ServerName, _, _ = net.SplitHostPort(address) // New has checked it
	}
	return cfg
}

func atLeast13(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS13
	}
	return cfg
}

// secure performs the TLS handshake under the deadline that c has, and checks what it was for: a hook in
// the configuration, such as GetConfigForClient, could have waived it.
func secure(c *tls.Conn) error {
	err := c.Handshake()
	if err == nil && len(c.ConnectionState().VerifiedChains) == 0 {
		err = errUnverified
	}
	if err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return nil
}
