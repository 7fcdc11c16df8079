// Package sim plays whole clusters in simulated time, each run from one seed: the real paxos.Replica, the real wal.Log on a disk that lies the way
// disks lie, the real codec and frames over a network that loses, repeats, reorders and damages. It has no goroutine, no clock and no I/O of its own, so the same
// seed gives the same run, event for event.
//
// Each seed draws its own Config: members, quorums, limits, rates, kinds of faults. What the run then does to the cluster from outside, faults and requests alike, is a list of
// Actions, which can be kept, replayed and cut down (Shrink). After every event the checker holds what it has seen against the rules of docs/protocol.md, and at the end a part of the cluster that
// can work must finish all work. docs/verification.md has the whole.
//
// Run may be called from any number of goroutines at once; each call has a world of its own.
package sim
