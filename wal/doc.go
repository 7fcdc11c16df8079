// Package wal is an acceptor's stable log: every record that must be on disk before an answer leaves, and
// the vital state without which the member may not vote.
//
// It has no goroutine and no clock. One goroutine, the writer, calls Append, Sync, Trim, SetFounders, SetEpoch, Replay and Close;
// any goroutine may call the rest. The bytes on disk, the steps of recovery and what is not survived are in docs/storage.md.
//
// Three rules carry the safety of the whole:
//
//   - At most one batch is ever on disk unsynced. So a batch proves that everything before it was durable
//     when it was written, and recovery can tell torn, which was never acknowledged, from corrupt, which may have been.
//   - Any failed write, sync or rename is final. The log latches it and nothing is acknowledged after.
//   - What recovery finds beyond the last known durable record is written again in a fresh place and synced before it is
//     trusted: after a failed sync the page cache shows what the disk never got.
package wal
