// Package modelcheck explores every behaviour of a small cluster of real replicas: every order in which messages arrive, twice, late or never, every instant at which a disk
// syncs or a process dies, as far as a World's bounds go. Each step is judged by package spec.
//
// It can be exhaustive because paxos.Replica is a pure function. What an event does to a node depends on that node alone; so each node's states are numbered, the
// real code computes each transition (state, event) → (state, messages) once, and a state of the cluster is a handful of numbers: one for each node, and a set of bits,
// one for each message ever sent. A message that was sent stays: it may be delivered at any time from then on, again, or never. docs/verification.md has more.
package modelcheck
