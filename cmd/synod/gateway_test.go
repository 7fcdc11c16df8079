package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAGatewayPassesClientsOnAndStopsWhenItIsTold(t *testing.T) {
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("a member")) }))
	defer member.Close()
	p := begin(t, "", "synod", "gateway", "--endpoints", member.URL, "--listen-addr", "127.0.0.1:0")
	line := p.await("passing connections to")
	resp, err := http.Get("http://" + strings.Fields(line)[3])
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil || body.String() != "a member" {
		t.Errorf("it answers %q, %v", body.String(), err)
	}
	p.stops()
}

func TestAGatewayRefusesFlagsThatMakeNoSense(t *testing.T) {
	for _, test := range []struct {
		args string
		says string
		code int
	}{
		{"--endpoints=nowhere", "no client address", exitUsage},
		{"--endpoints=", "give 1 to 128", exitUsage},
		{"--listen-addr=here", "write host:port", exitUsage},
		{"--retry-delay=0s", "above 0", exitUsage},
		{"--retry-delay=soon", "invalid argument", exitUsage},
		{"start", "unknown argument", exitUsage},
		{"--listen-addr=127.0.0.1:99999", "choose another --listen-addr", exitFailure},
	} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{"synod", "gateway", test.args}, &stdout, &stderr); code != test.code || !strings.Contains(stderr.String(), test.says) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: code %d, %q", test.args, code, stderr.String())
		}
	}
}
