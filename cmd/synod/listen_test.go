package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"synod.dev/synod/internal/freeport"
)

func TestMembersFindEachOtherOverSocketsInTheFileSystem(t *testing.T) {
	sockets, dir := t.TempDir(), t.TempDir()
	s, err := newShape(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	var members []*process
	for _, m := range s.Members {
		args := s.serveArguments(m, dir)
		for j := range args {
			for k, other := range s.Members {
				args[j] = strings.ReplaceAll(args[j], "http://"+other.Peer, fmt.Sprintf("unix://%s/%d", sockets, k))
			}
		}
		members = append(members, begin(t, "", "synod", args...))
	}
	for _, p := range members {
		p.await(readyLine)
	}
	put(t, s.Members[0].Client, "k", "v")
	if got := get(t, s.Members[1].Client, "k"); got != "v" {
		t.Errorf("the other member has %q", got)
	}
	for _, p := range members {
		p.stops()
	}
}

func TestAMemberListensForPeersOnAllItsURLs(t *testing.T) {
	a := newAlone(t)
	addresses, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	args := a.args()
	for i := range args {
		if strings.HasPrefix(args[i], "--listen-peer-urls") {
			args[i] += ",http://" + addresses[0]
		}
	}
	p := begin(t, "", "synod", append([]string{"serve"}, args...)...)
	p.await(readyLine)
	for _, address := range []string{a.peer, addresses[0]} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Error(err)
		}
		if _, err := io.Copy(io.Discard, bufio.NewReader(conn)); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: a stranger is not sent away: %v", address, err)
		}
		conn.Close()
	}
	p.stops()
}

func TestWithReusePortTwoSocketsMayShareAPort(t *testing.T) {
	first := net.ListenConfig{Control: socketOptions(true, true)}
	l, err := first.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	alone := net.ListenConfig{Control: socketOptions(false, true)}
	if second, err := alone.Listen(t.Context(), "tcp", l.Addr().String()); err == nil {
		second.Close()
		t.Error("a socket that does not share its port got one in use")
	}
	second, err := first.Listen(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestJoinedListenersEndTogether(t *testing.T) {
	var sockets []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, l)
	}
	joined := joinListeners(sockets)
	for _, l := range sockets {
		dialled, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer dialled.Close()
		accepted, err := joined.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted.Close()
	}
	if err := joined.Close(); err != nil {
		t.Error(err)
	}
	if _, err := joined.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
	for _, l := range sockets {
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%s still listens", l.Addr())
		}
	}
}

func TestOnePortServesPlainClientsAndThoseUnderTLS(t *testing.T) {
	a := newAlone(t)
	args := a.args("--auto-tls")
	for i := range args {
		if strings.HasPrefix(args[i], "--listen-client-urls") {
			args[i] += ",https://" + a.client
		}
	}
	p := begin(t, "", "synod", append([]string{"serve"}, args...)...)
	p.await(readyLine)
	put(t, a.client, "k", "v")
	conn, err := grpc.NewClient(a.client, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if r, err := pb.NewKVClient(conn).Range(patient(t), &pb.RangeRequest{Key: []byte("k")}); err != nil || r.Count != 1 {
		t.Errorf("under TLS: %v, %v", r, err)
	}
	p.stops()
}

func TestAFileOfTheLogIsSetAsideWhenItIsLarge(t *testing.T) {
	a := newAlone(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "log")
	if err := os.WriteFile(file, make([]byte, 1<<20-100), 0o600); err != nil {
		t.Fatal(err)
	}
	p := a.serve(t, "--log-outputs=stderr,"+file, "--enable-log-rotation", `--log-rotation-config-json={"maxsize": 1}`)
	p.await(readyLine)
	p.stops()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("there should be the log and the one set aside: %v, %v", files, err)
	}
	log, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(log), readyLine) {
		t.Errorf("the log has %d bytes and lacks %q: %v", len(log), readyLine, err)
	}
}

func TestWebPagesAndHostsAreTheOnesThatAreAllowed(t *testing.T) {
	a := newAlone(t)
	p := a.serve(t, "--host-whitelist=127.0.0.1", "--cors=http://page", "--metrics=extensive")
	p.await(readyLine)
	put(t, a.client, "k", "v")
	r, err := http.NewRequestWithContext(patient(t), http.MethodGet, "http://"+a.client+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "http://page")
	status, header, body := fetch(t, r)
	if status != http.StatusOK || header.Get("Access-Control-Allow-Origin") != "http://page" {
		t.Errorf("status %d, headers %v", status, header)
	}
	if !strings.Contains(body, "grpc_server_handling_seconds_bucket") {
		t.Error("extensive metrics lack durations")
	}
	r.Host = "evil"
	if status, _, _ := fetch(t, r); status != http.StatusMisdirectedRequest {
		t.Errorf("a request for another host: status %d", status)
	}
	p.stops()
}

func fetch(t *testing.T, r *http.Request) (status int, header http.Header, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(content)
}
