// Command robustness runs etcd's own robustness traffic against a cluster and has etcd's own validators judge what its clients recorded, both as etcd
// has released them. It is a program of its own because etcd's server, which they link, and Synod's cannot be linked together: both register
// the same protobuf names.
//
//	robustness TRAFFIC ENDPOINT… <requests
//
// TRAFFIC is etcd or kubernetes. Traffic goes on until the first line of stdin; then it prints "recorded". Until its end stdin holds the
// chosen log, as `synod disk dump --json` prints it. The exit code is 0 if everything is judged a success.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.etcd.io/etcd/tests/v3/robustness/identity"
	"go.etcd.io/etcd/tests/v3/robustness/model"
	"go.etcd.io/etcd/tests/v3/robustness/report"
	"go.etcd.io/etcd/tests/v3/robustness/traffic"
	"go.etcd.io/etcd/tests/v3/robustness/validate"
	"go.uber.org/zap"
)

// validateWithin is how long the validators may take for one history.
const validateWithin = 2 * time.Minute

func main() {
	if err := judge(os.Args[1], os.Args[2:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func judge(name string, endpoints []string) error {
	kind := traffic.EtcdPutDeleteLease
	if name == "kubernetes" {
		kind = traffic.Kubernetes
	}
	r := &etcdTraffic{log: zap.NewNop(), traffic: kind, endpoints: endpoints, ids: identity.NewIDProvider(), began: time.Now()}
	input := bufio.NewReader(os.Stdin)
	reports, err := r.run(func() { input.ReadString('\n') }) // its end does as well
	if err != nil {
		return err
	}
	fmt.Println("recorded")
	requests, err := readLog(input)
	if err != nil {
		return err
	}
	if err := validated(kind, reports, requests); err != nil {
		return err
	}
	stats, watched := traffic.CalculateStats(reports, 0, time.Since(r.began)), traffic.CalculateWatchStats(reports, 0, time.Since(r.began))
	fmt.Printf("validated: %d requests succeeded, %d failed, %d watches saw %d events, %d commands chosen\n",
		stats.Successes, stats.Failures, watched.Requests, watched.Events, len(requests))
	if stats.Successes == 0 || watched.Events == 0 {
		return fmt.Errorf("no request succeeded or no event was watched, so nothing was checked")
	}
	return rejectCorrupted(kind, reports, requests)
}

// errUndecided is that a validator has run out of time.
var errUndecided = errors.New("it has not come to an end")

// validated has everything judged. It takes nothing but success: what was not judged has not passed.
func validated(kind traffic.Traffic, reports []report.ClientReport, log []model.EtcdRequest) error {
	reports, err := narrow(reports, log)
	if err != nil {
		return err
	}
	result := validate.ValidateAndReturnVisualize(zap.NewNop(), validate.Config{ExpectRevisionUnique: kind.ExpectUniqueRevision()}, reports, log, validateWithin)
	for _, judged := range []struct {
		what string
		validate.Result
	}{
		{"assumptions", result.Assumptions}, {"linearization", result.Linearization.Result}, {"watch", result.Watch}, {"serializable reads", result.Serializable},
	} {
		switch judged.Status {
		case validate.Success:
		case validate.Timeout, validate.DeadlineExceeded:
			return fmt.Errorf("etcd's validator of %s: %w", judged.what, errUndecided)
		default:
			return fmt.Errorf("etcd's validator of %s says %q: %s", judged.what, judged.Status, judged.Message)
		}
	}
	return nil
}

// rejectCorrupted corrupts what clients recorded, in every way that a broken cluster would, and demands that the validators notice: what they
// accept of a true history proves something only because of that.
func rejectCorrupted(kind traffic.Traffic, reports []report.ClientReport, requests []model.EtcdRequest) error {
	for name, corrupt := range map[string]func([]report.ClientReport, []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest){
		"a watch event is dropped":                dropWatchEvent,
		"an acknowledged write is not in the log": dropChosenWrite,
		"two reads have each other's answer":      swapReads,
		"a read is staler by one revision":        readStale,
		"a read of the past shows what never was": falsifyPast,
		"a watch event comes before an older one": swapWatchEvents,
	} {
		corrupted, log := corrupt(cloneReports(reports), slices.Clone(requests))
		if corrupted == nil {
			return fmt.Errorf("nothing was recorded to corrupt: %s", name)
		}
		switch err := validated(kind, corrupted, log); {
		case err == nil:
			return fmt.Errorf("it is accepted that %s", name)
		case errors.Is(err, errUndecided):
			return fmt.Errorf("%s: %w", name, err)
		default:
			fmt.Printf("rejected, as it should be: %s: %v\n", name, err)
		}
	}
	return nil
}
