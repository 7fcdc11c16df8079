package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// endpointLimit bounds the endpoints of one call, all of which are asked at once.
const endpointLimit = 128

// reach is how a command reaches members: its flags are the same for all commands that do.
type reach struct {
	endpoints         []string
	cacert, cert, key string
}

func (r *reach) addFlags(c *cobra.Command) {
	c.Flags().StringSliceVar(&r.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "client addresses of the members, host:port or URL")
	c.Flags().StringVar(&r.cacert, "cacert", "", "CA that signs the members' certificates, for https:// endpoints")
	c.Flags().StringVar(&r.cert, "cert", "", "certificate to show to the members")
	c.Flags().StringVar(&r.key, "key", "", "key of --cert")
}

// tlsConfig is what the flags say of TLS.
func (r *reach) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{}
	if r.cacert != "" {
		pem, err := os.ReadFile(r.cacert)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cacert: %s holds no certificate in PEM form", r.cacert)
		}
	}
	if r.cert != "" || r.key != "" {
		pair, err := tls.LoadX509KeyPair(r.cert, r.key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// urls returns scheme://host:port of each endpoint.
func (r *reach) urls() ([]*url.URL, error) {
	if len(r.endpoints) == 0 || len(r.endpoints) > endpointLimit {
		return nil, fmt.Errorf("--endpoints: give 1 to %d addresses", endpointLimit)
	}
	urls := make([]*url.URL, len(r.endpoints))
	for i, endpoint := range r.endpoints {
		text := strings.TrimSpace(endpoint)
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("--endpoints: %q is no client address; write host:port or http://host:port", endpoint)
		}
		urls[i] = &url.URL{Scheme: u.Scheme, Host: u.Host}
	}
	return urls, nil
}
