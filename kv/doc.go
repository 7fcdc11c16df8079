// Package kv is etcd's data model as a deterministic state machine: keys with all their revisions, transactions and
// compaction, on Pebble.
//
// A [Store] executes the commands that [Encode] makes of etcd's own requests, in the order of the log, and answers reads from any
// number of goroutines at the same time. What a command does is a function of the state and the command alone; how far this
// replica has come with deleting what was compacted, or what it has on disk, never shows in a result.
//
// The store's log is the replicated log: Pebble's own is off. The slot that has been applied is written in the same batch as
// the data it covers, so a store that is opened again is exactly the store of some earlier slot, and Applied says which.
//
// The forms of keys and rows are in docs/kv.md.
package kv
