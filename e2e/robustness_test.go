package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// stepsUnderEtcdsTraffic is how many faults there are during one run of etcd's traffic.
const stepsUnderEtcdsTraffic = 5

// judgedWithin bounds one run of etcd's traffic, with what its validators take.
const judgedWithin = 10 * time.Minute

// TestEtcdsValidatorsAcceptWhatEtcdsTrafficSaw runs etcd's own robustness traffic against a cluster under faults and gives what its clients recorded to
// etcd's own validators, together with the members' chosen log.
func TestEtcdsValidatorsAcceptWhatEtcdsTrafficSaw(t *testing.T) {
	program := buildTool(t, "robustness", "synod.dev/synod/e2e/robustness")
	for _, kind := range []string{"etcd", "kubernetes"} {
		t.Run(kind, func(t *testing.T) {
			c, w := newNetworkedCluster(t, 3)
			plan := drawSchedule(*seedFlag, len(c.members), faultsOf(w))[:stepsUnderEtcdsTraffic]
			plan[len(plan)/2].process, plan[len(plan)/2].network = replacement, networkFault{} // what comes after befalls the new member, too
			t.Logf("nemesis over %s, seed %d:\n%s", w.form(), *seedFlag, plan)
			c.start()
			ctx, cancel := context.WithTimeout(t.Context(), judgedWithin)
			defer cancel()
			command := exec.CommandContext(ctx, program, kind)
			command.SysProcAttr = boundToTest()
			for _, m := range c.members {
				command.Args = append(command.Args, m.client)
			}
			var complaints strings.Builder // etcd's traffic panics at what it does not expect
			command.Stderr = &complaints
			input, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			output, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			(&nemesis{t: t, cluster: c, network: w}).carryOut(plan)
			for _, m := range c.members {
				if err := insist(t, func(ctx context.Context) error {
					_, err := m.api.Get(ctx, "a")
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			fmt.Fprintln(input, "enough") // if it has ended, it has said why
			said := bufio.NewScanner(output)
			if said.Scan(); said.Text() != "recorded" {
				command.Wait()
				t.Fatalf("etcd's traffic: %s\n%s", said.Text(), complaints.String())
			}
			c.agree()
			prove(c)
			var log strings.Builder
			for _, l := range chosenLog(t, c) {
				fmt.Fprintln(&log, l.line)
			}
			fmt.Fprint(input, log.String())
			input.Close()
			for said.Scan() {
				t.Log(said.Text())
			}
			if err := command.Wait(); err != nil {
				t.Errorf("etcd's validators: %v", err)
			}
		})
	}
}
