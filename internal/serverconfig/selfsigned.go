package serverconfig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"time"
)

// selfSigned makes a key and a certificate for the hosts of urls. They live as long as the process: nothing
// is written, so nothing can leak from the disk.
func selfSigned(urls []url.URL, years int) (tls.Certificate, error) {
	return certify(urls, years, nil, nil)
}

// tokenSigned makes a key and a certificate for the hosts of urls, signed by the authority whose key comes of the token: who knows the token can make both, and
// who does not can make neither. Members so verify each other without files.
func tokenSigned(token string, urls []url.URL, years int) (tls.Certificate, *x509.Certificate, error) {
	seed, err := hkdf.Key(sha256.New, []byte(token), nil, "synod peer authority", ed25519.SeedSize)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	template := validFor(years)
	template.SerialNumber = big.NewInt(1)
	template.Subject.CommonName = "authority of the cluster's token"
	template.KeyUsage, template.IsCA = x509.KeyUsageCertSign, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certificate, err := certify(urls, years, authority, key)
	return certificate, authority, err
}

// certify makes a key and a certificate for the hosts of urls. Without an issuer it is its own.
func certify(urls []url.URL, years int, issuer *x509.Certificate, issuerKey crypto.Signer) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := validFor(years)
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)); err != nil {
		return tls.Certificate{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, u := range urls {
		if ip := net.ParseIP(u.Hostname()); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !isUnix(u) {
			template.DNSNames = append(template.DNSNames, u.Hostname())
		}
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	} else {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth) // members dial each other
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func validFor(years int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"synod"}},
		NotBefore:             now.Add(-time.Minute), // clocks differ a little
		NotAfter:              now.AddDate(years, 0, 0),
		BasicConstraintsValid: true,
	}
}
