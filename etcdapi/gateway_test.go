package etcdapi

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

func post(t testing.TB, s *serving, path, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(answer)}
}

func TestTheGatewaySpeaksJSONAsEtcdsDoes(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway = true })
	for _, tc := range []struct {
		path, body string
		status     int
		want       string // in the answer
	}{
		{"/v3/kv/put", `{"key":"Zm9v","value":"YmFy"}`, 200, `"revision":"2"`},
		{"/v3/kv/put", `{"key":"Zm9v","value":"YmF6","prev_kv":true,"no_such_field":1}`, 200, `"prev_kv":{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}`},
		{"/v3/kv/range", `{"key":"Zm9v"}`, 200, `"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"3","version":"2","value":"YmF6"}],"count":"1"`},
		{"/v3/kv/range", `{"key":"bm90aGluZw=="}`, 200, `"revision":"3"`},
		{"/v3/kv/txn", `{"compare":[{"target":"VERSION","key":"Zm9v","version":"2"}],"success":[{"request_delete_range":{"key":"Zm9v"}}]}`, 200, `"succeeded":true,"responses":[{"response_delete_range":{"header":{"revision":"4"},"deleted":"1"}}]`},
		{"/v3/cluster/member/list", `{}`, 200, `"peerURLs":["http://127.0.0.1:3"]`},
		{"/v3/maintenance/status", `{}`, 200, `"version":"3.7.3"`},
		{"/v3/kv/range", `{}`, 400, `{"code":3,"message":"etcdserver: key is not provided"`},
		{"/v3/kv/range", `{"key":"Zm9v","revision":"99"}`, 400, `{"code":11,"message":"etcdserver: mvcc: required revision is a future revision"`},
		{"/v3/kv/range", `no JSON`, 400, `"code":3`},
		{"/v3/no/such/path", `{}`, 404, `"code":5`},
	} {
		got := post(t, s, tc.path, tc.body)
		answer := strings.ReplaceAll(got.body, ", ", ",") // protojson varies its blanks on purpose
		answer = strings.ReplaceAll(answer, `": `, `":`)
		if got.status != tc.status || !strings.Contains(answer, tc.want) {
			t.Errorf("POST %s %s: %d %s\nwant %d and %s", tc.path, tc.body, got.status, answer, tc.status, tc.want)
		}
		if got.status == 200 && !strings.Contains(answer, `"header":{`) {
			t.Errorf("POST %s %s: %s has no header", tc.path, tc.body, answer)
		}
	}
	if got := get(t, s.web, s.url+"/v3/kv/range"); got.status != http.StatusNotImplemented && got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET of a method answers %d", got.status)
	}
}

func TestWithoutTheGatewayThereIsNothingUnderItsPath(t *testing.T) {
	s := serve(t, nil)
	if got := post(t, s, "/v3/kv/range", `{"key":"Zm9v"}`); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestTheGatewayServesLocksAndElections(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway = true })
	s.grant(t, 7, 600)
	leader := `"leader":{"name":"ZQ==","key":"ZS83","rev":"3","lease":"7"}`
	for _, tc := range []struct {
		path, body string
		status     int
		want       string // in the answer
	}{
		{"/v3/lock/lock", `{"name":"bA==","lease":"7"}`, 200, `"key":"bC83"`},
		{"/v3/election/campaign", `{"name":"ZQ==","lease":"7","value":"djE="}`, 200, leader},
		{"/v3/election/leader", `{"name":"ZQ=="}`, 200, `"kv":{"key":"ZS83","create_revision":"3","mod_revision":"3","version":"1","value":"djE=","lease":"7"}`},
		{"/v3/election/proclaim", `{` + leader + `,"value":"djI="}`, 200, `"revision":"4"`},
		{"/v3/election/proclaim", `{"value":"djI="}`, 500, `\"leader\" field must be provided`},
		{"/v3/election/proclaim", `no JSON`, 400, `"code":3`},
		{"/v3/election/leader", ``, 500, `election: no leader`},
		{"/v3/election/resign", `{` + leader + `}`, 200, `"revision":"5"`},
		{"/v3/lock/unlock", `{"key":"bC83"}`, 200, `"revision":"6"`},
	} {
		got := post(t, s, tc.path, tc.body)
		answer := strings.ReplaceAll(strings.ReplaceAll(got.body, ", ", ","), `": `, `":`) // protojson varies its blanks on purpose
		if got.status != tc.status || !strings.Contains(answer, tc.want) {
			t.Errorf("POST %s %s: %d %s\nwant %d and %s", tc.path, tc.body, got.status, answer, tc.status, tc.want)
		}
	}
}

func TestTheGatewayStreamsTheLeadersOfAnElection(t *testing.T) {
	s := serve(t, func(c *Config) { c.Gateway = true })
	s.grant(t, 7, 600)
	post(t, s, "/v3/election/campaign", `{"name":"ZQ==","lease":"7","value":"djE="}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v3/election/observe", strings.NewReader(`{"name":"ZQ=="}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewScanner(resp.Body)
	for _, value := range []string{"djE=", "djI="} {
		if !answers.Scan() || !strings.HasPrefix(answers.Text(), `{"result":`) || !strings.Contains(answers.Text(), value) {
			t.Fatalf("%q, %v; want a result with %s", answers.Text(), answers.Err(), value)
		}
		post(t, s, "/v3/election/proclaim", `{"leader":{"name":"ZQ==","key":"ZS83","rev":"2","lease":"7"},"value":"djI="}`)
	}
}
