package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

const (
	// statusTimeout bounds how long one member may take to answer.
	statusTimeout = 5 * time.Second
	// reportLimit bounds a report, in bytes.
	reportLimit = 1 << 20
)

// statusOptions are the flags of `synod status`.
type statusOptions struct {
	reach
	asJSON bool
}

func newStatus(stdout io.Writer) *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Ask members how they are",
		Long: `Ask members how they are: who leads, how far each is, how fast its disk is.

A member that was not asked but that another one knows is shown as that one sees it.
The exit code is 1 if any member is unreachable or there is no leader.`,
		Example: `  # The member on this machine, and the others as it sees them:
  synod status

  # All members, each asked itself, for a script:
  synod status --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return showStatus(c.Context(), o, stdout) },
	}
	o.addFlags(c)
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return c
}

// row is one member in the table. Without a Report it was not reached, or not asked.
type row struct {
	Name      string   `json:"name"`
	ID        string   `json:"id"`
	Endpoint  string   `json:"endpoint,omitempty"` // where it was asked; empty if it was not
	Reachable bool     `json:"reachable"`
	Reason    string   `json:"reason,omitempty"` // why not, or who says so
	Roles     []string `json:"roles,omitempty"`
	Lag       uint64   `json:"lag"` // slots that are chosen somewhere and not applied here
	Report    *report  `json:"report,omitempty"`
}

func showStatus(ctx context.Context, o statusOptions, stdout io.Writer) error {
	client, err := o.client()
	if err != nil {
		return usageError{err}
	}
	urls, err := o.urls()
	if err != nil {
		return usageError{err}
	}
	rows := tabulate(askAll(cmp.Or(ctx, context.Background()), client, urls))
	if o.asJSON {
		err = json.NewEncoder(stdout).Encode(rows)
	} else {
		err = printRows(stdout, rows)
	}
	if err != nil {
		return err
	}
	return verdict(rows)
}

// verdict is an error if a member is unreachable or nobody leads.
func verdict(rows []row) error {
	led := false
	for _, r := range rows {
		if !r.Reachable {
			return fmt.Errorf("member %s is unreachable: %s", cmp.Or(r.Name, r.Endpoint), r.Reason)
		}
		led = led || r.Report != nil && r.Report.Leader != ""
	}
	if !led {
		return errors.New("there is no leader: a majority of the members must be up and reach each other")
	}
	return nil
}

func (o *statusOptions) client() (*http.Client, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: statusTimeout, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, nil
}

// answer is what became of asking one endpoint: a report or an error.
type answer struct {
	endpoint string
	report   *report
	err      error
}

func askAll(ctx context.Context, client *http.Client, urls []*url.URL) []answer {
	answers := make([]answer, len(urls))
	var asking sync.WaitGroup
	for i, u := range urls {
		asking.Go(func() {
			r, err := ask(ctx, client, u.String())
			answers[i] = answer{endpoint: u.String(), report: r, err: err}
		})
	}
	asking.Wait()
	return answers
}

func ask(ctx context.Context, client *http.Client, endpoint string) (*report, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+statusPath, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, reason(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s: no Synod member serves there", response.Status)
	}
	r := new(report)
	if err := json.NewDecoder(io.LimitReader(response.Body, reportLimit)).Decode(r); err != nil {
		return nil, errors.New("its answer is no report of a Synod member")
	}
	return r, nil
}

// reason drops from an HTTP error what the reader knows: method and URL.
func reason(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	var network *net.OpError
	if errors.As(err, &network) {
		err = network.Err
	}
	return err
}

// tabulate makes a row of each answer, and of each member that only others told of.
func tabulate(answers []answer) []row {
	var rows []row
	var chosen uint64 // the furthest anyone knows of
	for _, a := range answers {
		if a.report != nil {
			chosen = max(chosen, a.report.Chosen)
		}
	}
	known := map[string]bool{}
	for _, a := range answers {
		if a.err != nil {
			rows = append(rows, row{Endpoint: a.endpoint, Reason: a.err.Error()})
			continue
		}
		known[a.report.ID] = true
		r := row{Name: a.report.Name, ID: a.report.ID, Endpoint: a.endpoint, Reachable: true, Report: a.report, Lag: chosen - min(chosen, a.report.Applied)}
		for _, m := range a.report.Members {
			if m.Self {
				r.Roles = m.Roles
			}
		}
		if !slices.Contains(r.Roles, "learner") { // it applies nothing
			r.Lag = chosen - min(chosen, a.report.Chosen)
		}
		rows = append(rows, r)
	}
	if slices.ContainsFunc(answers, func(a answer) bool { return a.err != nil }) {
		return rows // which of the members failed to answer is not known, so none is shown twice
	}
	for _, a := range answers {
		for _, m := range a.report.Members {
			if known[m.ID] {
				continue
			}
			known[m.ID] = true
			r := row{Name: m.Name, ID: m.ID, Roles: m.Roles, Reachable: m.Connected, Lag: chosen - min(chosen, m.Chosen)}
			r.Reason = "not asked; " + a.report.Name + " hears it"
			if !m.Connected {
				r.Reason = "not asked; " + a.report.Name + " does not hear it"
			}
			rows = append(rows, r)
		}
	}
	return rows
}

func printRows(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tID\tROLES\tLEADER\tBALLOT\tCHOSEN\tAPPLIED\tTRIMMED\tLAG\tFSYNC P50\tP99\tVERSION\tSTATE")
	for _, r := range rows {
		state := "reachable"
		if !r.Reachable {
			state = "unreachable: " + r.Reason
		} else if r.Reason != "" {
			state = r.Reason
		} else if r.Report != nil && r.Report.Transfer != nil {
			state = r.Report.Transfer.String()
		}
		name := cmp.Or(r.Name, r.Endpoint)
		if r.Report == nil {
			fmt.Fprintf(t, "%s\t%s\t%s\t-\t-\t-\t-\t-\t-\t-\t-\t-\t%s\n", name, cmp.Or(r.ID, "-"), cmp.Or(shortRoles(r.Roles), "-"), state)
			continue
		}
		p := r.Report
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%.2fms\t%.2fms\t%s\t%s\n", name, r.ID, cmp.Or(shortRoles(r.Roles), "-"), cmp.Or(p.Leader, "none"), p.Ballot,
			p.Chosen, p.Applied, p.Trimmed, r.Lag, p.Fsync.P50, p.Fsync.P99, p.Version, state)
	}
	return t.Flush()
}
