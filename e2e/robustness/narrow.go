package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
	"go.etcd.io/etcd/tests/v3/robustness/model"
	"go.etcd.io/etcd/tests/v3/robustness/report"
)

// narrow leaves etcd's validator of linearization less to try, so that it ends soon: it takes from what clients recorded what no order can use, and adds what the chosen log
// tells. All of it only restricts the orders, so what is accepted thus would be accepted as it was recorded. It fails if no order is left, which the validator would find out by trying all.
func narrow(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, error) {
	reports, err := resolve(reports, log)
	if err != nil {
		return nil, err
	}
	return reports, narrowTimes(reports)
}

// narrowTimes goes by this: the model's revision only grows, so a request happens after all with a lower revision have begun, and before any with a higher one has returned.
func narrowTimes(reports []report.ClientReport) error {
	var told []*porcupine.Operation // by revision
	for i := range reports {
		for j := range reports[i].KeyValue {
			if o := &reports[i].KeyValue[j]; revisionOf(o) > 0 {
				told = append(told, o)
			}
		}
	}
	slices.SortStableFunc(told, func(a, b *porcupine.Operation) int { return cmp.Compare(revisionOf(a), revisionOf(b)) })
	begun, floor, revision := int64(math.MinInt64), int64(math.MinInt64), int64(0)
	for _, o := range told {
		if r := revisionOf(o); r > revision {
			floor, revision = begun, r
		}
		if floor > o.Return {
			return fmt.Errorf("stale: a request was told of revision %d before one that was told of a lower one began", revision)
		}
		begun = max(begun, o.Call)
		o.Call = max(o.Call, min(floor, o.Return-1)) // the validators want it to be before the return
	}
	returned, ceiling, revision := int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64)
	for _, o := range slices.Backward(told) {
		if r := revisionOf(o); r < revision {
			ceiling, revision = returned, r
		}
		returned = min(returned, o.Return)
		o.Return = min(o.Return, max(ceiling, o.Call+1))
	}
	places := map[*porcupine.Operation]int64{}
	for i, o := range told {
		places[o] = int64(i)
	}
	for i := range reports {
		order(reports[i].KeyValue, places, int64(len(told))+1)
	}
	return nil
}

// order has of requests that begin at the same time, as narrowed ones do, the one with the lower place begin first, and changes nothing else: the search tries first what begins first.
// The times are then no longer those of a clock. All places are less than n.
func order(operations []porcupine.Operation, places map[*porcupine.Operation]int64, n int64) {
	for i := range operations {
		o := &operations[i]
		o.Call = o.Call*n + places[o]
		o.Return = min(o.Return, math.MaxInt64/n-1)*n + n - 1
	}
}

// revisionOf is the store's revision when a request has happened, 0 if its client was not told.
func revisionOf(o *porcupine.Operation) int64 {
	request, response := o.Input.(model.EtcdRequest), o.Output.(model.MaybeEtcdResponse)
	switch {
	case response.Error != "" || response.ClientError != "" || request.Type == model.Compact || request.Type == model.Defragment:
		return 0
	case request.Type == model.Range && request.Range.Revision != 0:
		return 0
	case response.Persisted:
		return response.PersistedRevision
	}
	return response.Revision
}

// resolve says of requests of unknown outcome what became of them, where the log tells: one that it has at a revision that nobody was told of has happened there, the first of several that are alike
// first; one that has changed nothing is left out. It fails if an acknowledged put is not where the log should have it. Those that have happened move to clients of their own, since it may have been after their clients had gone on.
func resolve(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, error) {
	made, chosen := revisionsOf(log)
	var unknown []porcupine.Operation
	free := 0 // the least number of a client that is greater than all others
	resolved := make([]report.ClientReport, len(reports))
	for i, r := range reports {
		resolved[i] = r
		resolved[i].KeyValue = nil
		for _, o := range r.KeyValue {
			free = max(free, o.ClientId+1)
			request, response := o.Input.(model.EtcdRequest), o.Output.(model.MaybeEtcdResponse)
			name := nameOf(request)
			switch {
			case response.Error == "":
				told := slices.Index(made[name], response.Revision)
				switch {
				case told >= 0:
					made[name] = slices.Delete(made[name], told, told+1)
				case puts(request, response):
					return nil, fmt.Errorf("lost: the chosen log does not have as revision %d what was acknowledged as that: %s", response.Revision, name)
				}
			case request.Type == model.Txn && !request.IsRead(), request.Type == model.LeaseRevoke && (!chosen[name] || len(made[name]) > 0):
				unknown = append(unknown, o)
				continue
			}
			resolved[i].KeyValue = append(resolved[i].KeyValue, o)
		}
	}
	slices.SortStableFunc(unknown, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, o := range unknown {
		name := nameOf(o.Input.(model.EtcdRequest))
		if len(made[name]) == 0 {
			continue
		}
		o.ClientId, o.Return, o.Output = free, math.MaxInt64, model.MaybeEtcdResponse{Persisted: true, PersistedRevision: made[name][0]}
		made[name] = made[name][1:]
		resolved = append(resolved, report.ClientReport{ClientID: free, KeyValue: []porcupine.Operation{o}})
		free++
	}
	return resolved, nil
}

// puts reports whether a request was told that it has put a key.
func puts(request model.EtcdRequest, response model.MaybeEtcdResponse) bool {
	return request.Type == model.Txn && response.Txn != nil && !response.Txn.Failure &&
		slices.ContainsFunc(request.Txn.OperationsOnSuccess, func(op model.EtcdOperation) bool { return op.Type == model.PutOperation })
}

// revisionsOf returns by the names of requests which revisions they have made, and whether they were chosen.
func revisionsOf(log []model.EtcdRequest) (made map[string][]int64, chosen map[string]bool) {
	made, chosen = map[string][]int64{}, map[string]bool{}
	var all []porcupine.Operation
	for _, r := range log {
		all = append(all, porcupine.Operation{Input: r})
	}
	state := model.DeterministicModel(model.ModelKeys(all)).Init().(model.EtcdState)
	for _, r := range log {
		name := nameOf(r)
		after, _ := state.Step(r)
		if after.Revision > state.Revision {
			made[name] = append(made[name], after.Revision)
		}
		chosen[name] = true
		state = after
	}
	return made, chosen
}

// nameOf tells requests that may change keys apart, as far as what they do differs; of others it is empty.
func nameOf(r model.EtcdRequest) string {
	switch r.Type {
	case model.Txn:
		return fmt.Sprintf("%+v", *r.Txn)
	case model.LeaseRevoke:
		return fmt.Sprintf("%+v", *r.LeaseRevoke)
	}
	return ""
}
