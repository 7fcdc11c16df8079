package main

import (
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
	"go.etcd.io/etcd/tests/v3/robustness/model"
	"go.etcd.io/etcd/tests/v3/robustness/report"
)

// Each of these corrupts a true history of etcd's traffic as a broken cluster would; it returns nil if the history gives no occasion.

func cloneReports(reports []report.ClientReport) []report.ClientReport {
	clone := slices.Clone(reports)
	for i := range clone {
		clone[i].KeyValue = slices.Clone(clone[i].KeyValue)
		clone[i].Watch = slices.Clone(clone[i].Watch)
		for j := range clone[i].Watch {
			clone[i].Watch[j].Responses = slices.Clone(clone[i].Watch[j].Responses)
		}
	}
	return clone
}

// dropWatchEvent takes one event out of the middle of what a watch has seen.
func dropWatchEvent(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest) {
	w, first := longWatch(reports)
	if w == nil {
		return nil, nil
	}
	w.Responses[first].Events = w.Responses[first].Events[1:]
	return reports, log
}

// swapWatchEvents lets two batches of events come in the wrong order.
func swapWatchEvents(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest) {
	w, first := longWatch(reports)
	if w == nil {
		return nil, nil
	}
	w.Responses[first].Events, w.Responses[first+1].Events = w.Responses[first+1].Events, w.Responses[first].Events
	return reports, log
}

// longWatch returns a watch that has seen events in consecutive responses, of which the first is not its first, and the first's place.
func longWatch(reports []report.ClientReport) (*model.WatchOperation, int) {
	for i := range reports {
		for j := range reports[i].Watch {
			w := &reports[i].Watch[j]
			for k := 1; k+2 < len(w.Responses); k++ {
				if len(w.Responses[k-1].Events) > 0 && len(w.Responses[k].Events) > 0 && len(w.Responses[k+1].Events) > 0 && len(w.Responses[k+2].Events) > 0 {
					return w, k
				}
			}
		}
	}
	return nil, 0
}

// dropChosenWrite takes out of the log the last put that was acknowledged, but for the one that ends the history.
func dropChosenWrite(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest) {
	last, revision := -1, int64(0)
	for _, r := range reports {
		for _, op := range r.KeyValue {
			request, answer := op.Input.(model.EtcdRequest), op.Output.(model.MaybeEtcdResponse)
			if answer.Error != "" || !puts(request, answer) || answer.Revision <= revision {
				continue
			}
			name := nameOf(request)
			if i := slices.IndexFunc(log[:len(log)-1], func(r model.EtcdRequest) bool { return nameOf(r) == name }); i >= 0 {
				last, revision = i, answer.Revision
			}
		}
	}
	if last < 0 {
		return nil, nil
	}
	return reports, slices.Delete(log, last, last+1)
}

// swapReads gives the last read of one key and the first the other's answer.
func swapReads(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest) {
	first, last := edgeReads(reports)
	if first == nil || first == last {
		return nil, nil
	}
	first.Output, last.Output = last.Output, first.Output
	return reports, log
}

// edgeReads returns the earliest and the latest linearizable read that was answered.
func edgeReads(reports []report.ClientReport) (first, last *porcupine.Operation) {
	for i := range reports {
		for j := range reports[i].KeyValue {
			op := &reports[i].KeyValue[j]
			r := op.Input.(model.EtcdRequest)
			if r.Type != model.Range || r.Range.Revision != 0 || op.Output.(model.MaybeEtcdResponse).Range == nil {
				continue
			}
			if first == nil || op.Call < first.Call {
				first = op
			}
			if last == nil || op.Call > last.Call {
				last = op
			}
		}
	}
	return first, last
}

// readStale appends, after everything, a read that does not see the last write.
func readStale(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest) {
	var end, revision int64
	id := 0
	for _, r := range reports {
		id = max(id, r.ClientID+1)
		for _, op := range r.KeyValue {
			end = max(end, op.Return)
			id = max(id, op.ClientId+1)
			revision = max(revision, op.Output.(model.MaybeEtcdResponse).Revision)
		}
	}
	request := model.EtcdRequest{Type: model.Range, Range: &model.RangeRequest{RangeOptions: model.RangeOptions{Start: "tombstone"}}}
	answer := model.MaybeEtcdResponse{EtcdResponse: model.EtcdResponse{Range: &model.RangeResponse{KVs: []model.KeyValue{}}, Revision: revision - 1}}
	stale := porcupine.Operation{ClientId: id, Input: request, Call: end + int64(time.Second), Output: answer, Return: end + 2*int64(time.Second)}
	return append(reports, report.ClientReport{ClientID: id, KeyValue: []porcupine.Operation{stale}}), log
}

// falsifyPast changes a value in the answer to a read of an older revision.
func falsifyPast(reports []report.ClientReport, log []model.EtcdRequest) ([]report.ClientReport, []model.EtcdRequest) {
	for i := range reports {
		for j := range reports[i].KeyValue {
			op := &reports[i].KeyValue[j]
			r, answer := op.Input.(model.EtcdRequest), op.Output.(model.MaybeEtcdResponse)
			if r.Type != model.Range || r.Range.Revision == 0 || answer.Range == nil || len(answer.Range.KVs) == 0 {
				continue
			}
			wrong := model.RangeResponse{KVs: slices.Clone(answer.Range.KVs), Count: answer.Range.Count}
			wrong.KVs[0].Version++
			answer.Range = &wrong
			op.Output = answer
			return reports, log
		}
	}
	return nil, nil
}
