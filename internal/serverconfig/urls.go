package serverconfig

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parseURLs reads a comma-separated list of addresses by etcd's rules: the scheme is http, https, unix or unixs;
// the first two need host:port and nothing behind it. The result is sorted, as member IDs are derived from it.
func parseURLs(text string) ([]url.URL, error) {
	var urls []url.URL
	for _, part := range list(text) {
		u, err := parseURL(part)
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	slices.SortFunc(urls, func(a, b url.URL) int { return strings.Compare(a.String(), b.String()) })
	for i := 1; i < len(urls); i++ {
		if urls[i] == urls[i-1] {
			return nil, fmt.Errorf("%s is listed twice; list it once", &urls[i])
		}
	}
	return urls, nil
}

func parseURL(text string) (url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return url.URL{}, fmt.Errorf("%s is not a URL; write it as http://host:port", text)
	}
	switch u.Scheme {
	case "unix", "unixs":
		if u.Host+u.Path == "" {
			return url.URL{}, fmt.Errorf("%s names no socket; write unix://path", text)
		}
		return *u, nil
	case "http", "https":
	default:
		return url.URL{}, fmt.Errorf("the scheme of %s is unknown; use http://, https://, unix:// or unixs://", text)
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil || port == "" {
		return url.URL{}, fmt.Errorf("%s has no port; write it as %s://host:port", text, u.Scheme)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return url.URL{}, fmt.Errorf("%s is no port; use 1 to 65535, or 0 to listen on any that is free", port)
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return url.URL{}, fmt.Errorf("%s has more than scheme, host and port; remove the rest", text)
	}
	return *u, nil
}

// listenURLs reads URLs to listen on: their host must be this machine's own, so an IP address or localhost.
func listenURLs(text string) ([]url.URL, error) {
	urls, err := parseURLs(text)
	if err != nil {
		return nil, err
	}
	for i := range urls {
		host := urls[i].Hostname()
		if isUnix(urls[i]) || host == "localhost" || net.ParseIP(host) != nil {
			continue
		}
		return nil, fmt.Errorf("cannot listen on %s: the host must be an IP address or localhost, not a name", &urls[i])
	}
	return urls, nil
}

// advertisedURLs reads URLs under which others reach this member, so an empty host makes no sense.
func advertisedURLs(text string) ([]url.URL, error) {
	urls, err := parseURLs(text)
	if err != nil {
		return nil, err
	}
	for i := range urls {
		if !isUnix(urls[i]) && urls[i].Hostname() == "" {
			return nil, fmt.Errorf("%s has no host; write the address under which others reach this member", &urls[i])
		}
	}
	return urls, nil
}

func isUnix(u url.URL) bool { return u.Scheme == "unix" || u.Scheme == "unixs" }

// Secure reports whether the URL calls for TLS.
func Secure(u url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// ListenAddress returns the network and address of a URL as net.Listen wants them.
func ListenAddress(u url.URL) (network, address string) {
	if isUnix(u) {
		return "unix", u.Host + u.Path
	}
	return "tcp", u.Host
}

// DialAddress returns the address of a member's URL as package synod wants it: host:port, or unix: and a path.
func DialAddress(u url.URL) string {
	network, address := ListenAddress(u)
	if network == "unix" {
		return "unix:" + address
	}
	return address
}

// anyPort reports whether the system is to choose the port to listen on.
func anyPort(u url.URL) bool { return !isUnix(u) && u.Port() == "0" }

func urlStrings(urls []url.URL) []string {
	texts := make([]string, len(urls))
	for i := range urls {
		texts[i] = urls[i].String()
	}
	return texts
}

func joinURLs(urls []url.URL) string { return strings.Join(urlStrings(urls), ",") }
