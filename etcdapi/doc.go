// Package etcdapi is the etcd v3 face of a replicated kv.Store: the gRPC services KV, Watch, Cluster and Maintenance, gRPC health,
// and the HTTP endpoints for health, version and metrics, all on one client port, plain or TLS.
//
// It decides nothing. A write is checked, turned into a command and proposed; its answer is what the store made of the
// command on this member. A linearizable read first asks the log to confirm that this member is up to date, then reads the
// store; a serializable read goes straight to the store. Error texts and codes are part of etcd's protocol, because
// its clients compare them, and so every error leaves through one table (errors.go).
//
// docs/etcd-api.md says what is served and what is not yet, and which of etcd's quirks are kept.
package etcdapi
