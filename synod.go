// Package synod replicates a deterministic state machine with Paxos.
package synod
