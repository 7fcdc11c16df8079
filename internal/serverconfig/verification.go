package serverconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// verifier returns what a partner's certificate must pass beyond its signature: it is not revoked, and has one of the names that are allowed, if
// any are. It is asked at each handshake, resumed ones included. prefix is that of the flags.
func (t TLS) verifier(prefix string) (func(tls.ConnectionState) error, error) {
	if t.CRLFile == "" && len(t.AllowedCNs) == 0 && len(t.AllowedHostnames) == 0 {
		return nil, nil
	}
	if t.CRLFile != "" {
		if _, err := readRevocations(t.CRLFile); err != nil {
			return nil, fmt.Errorf("--%s: %w", crlFlag(prefix), err)
		}
	}
	return func(state tls.ConnectionState) error {
		if err := t.checkNames(state.VerifiedChains); err != nil {
			return err
		}
		if t.CRLFile == "" {
			return nil
		}
		return checkRevocation(t.CRLFile, state.PeerCertificates)
	}, nil
}

func crlFlag(prefix string) string {
	if prefix == "" {
		return "client-crl-file"
	}
	return prefix + "crl-file"
}

// checkNames demands a certificate with one of the allowed names.
func (t TLS) checkNames(chains [][]*x509.Certificate) error {
	if len(t.AllowedCNs) == 0 && len(t.AllowedHostnames) == 0 {
		return nil
	}
	for _, chain := range chains {
		leaf := chain[0]
		if slices.Contains(t.AllowedCNs, leaf.Subject.CommonName) {
			return nil
		}
		for _, host := range t.AllowedHostnames {
			if leaf.VerifyHostname(host) == nil {
				return nil
			}
		}
	}
	return errors.New("the certificate has none of the names that are allowed")
}

// checkRevocation refuses certificates whose serial number is in the list, which is read anew each time: a revocation takes effect at once. Who cannot read
// it lets nobody in.
func checkRevocation(file string, certificates []*x509.Certificate) error {
	revoked, err := readRevocations(file)
	if err != nil {
		return fmt.Errorf("cannot tell whether a certificate is revoked: %w", err)
	}
	for _, c := range certificates {
		if slices.ContainsFunc(revoked.RevokedCertificateEntries, func(r x509.RevocationListEntry) bool { return r.SerialNumber.Cmp(c.SerialNumber) == 0 }) {
			return fmt.Errorf("the certificate with serial number %x is revoked", c.SerialNumber)
		}
	}
	return nil
}

// readRevocations reads a certificate revocation list, DER or PEM.
func readRevocations(file string) (*x509.RevocationList, error) {
	content, err := readBounded(file, crlLimit)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(content); block != nil {
		content = block.Bytes
	}
	list, err := x509.ParseRevocationList(content)
	if err != nil {
		return nil, fmt.Errorf("%s is no revocation list: %w", file, err)
	}
	return list, nil
}

// crlLimit bounds a revocation list, in bytes: hundreds of thousands of certificates.
const crlLimit = 16 << 20
