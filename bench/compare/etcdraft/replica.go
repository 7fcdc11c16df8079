package main

import (
	"context"
	"encoding/binary"
	"log"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// replica is one replica with its log and its connections to the others.
type replica struct {
	id      uint64
	node    raft.Node
	entries *raft.MemoryStorage
	stable  *wal.WAL
	links   map[uint64]*link // by replica
	leads   bool             // of run alone

	mu      sync.Mutex
	next    uint64                   // number of a command
	waiting map[uint64]chan struct{} // by number: closed when the command has been applied
}

// headerSize is how many bytes of a command say who proposed it and as which number.
const headerSize = 16

// propose returns once the command has been applied here.
func (r *replica) propose(ctx context.Context, command []byte) error {
	applied := make(chan struct{})
	r.mu.Lock()
	r.next++
	number := r.next
	r.waiting[number] = applied
	r.mu.Unlock()
	entry := make([]byte, max(len(command), headerSize))
	copy(entry, command)
	binary.LittleEndian.PutUint64(entry, r.id)
	binary.LittleEndian.PutUint64(entry[8:], number)
	if err := r.node.Propose(ctx, entry); err != nil {
		return err
	}
	select {
	case <-applied:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run does what raft says. An error of the log ends the process.
func (r *replica) run() {
	ticker := time.NewTicker(tick)
	for {
		select {
		case <-ticker.C:
			r.node.Tick()
		case ready := <-r.node.Ready():
			if err := r.handle(ready); err != nil {
				log.Fatal(err)
			}
			r.node.Advance()
		}
	}
}

// handle lets the leader's messages go before its own disk is asked, since they promise nothing about it; a follower's wait for the disk.
func (r *replica) handle(ready raft.Ready) error {
	if ready.SoftState != nil {
		r.leads = ready.RaftState == raft.StateLeader
	}
	if r.leads {
		r.send(ready.Messages)
	}
	if err := r.stable.Save(ready.HardState, ready.Entries); err != nil {
		return err
	}
	if err := r.entries.Append(ready.Entries); err != nil {
		return err
	}
	if !r.leads {
		r.send(ready.Messages)
	}
	for _, e := range ready.CommittedEntries {
		if err := r.apply(e); err != nil {
			return err
		}
	}
	return nil
}

func (r *replica) send(messages []raftpb.Message) {
	for _, m := range messages {
		if !r.links[m.To].send(m) {
			r.node.ReportUnreachable(m.To)
		}
	}
}

// apply tells who waits for a command.
func (r *replica) apply(e raftpb.Entry) error {
	switch {
	case e.Type == raftpb.EntryConfChange:
		var change raftpb.ConfChange
		if err := change.Unmarshal(e.Data); err != nil {
			return err
		}
		r.node.ApplyConfChange(change)
	case len(e.Data) >= headerSize && binary.LittleEndian.Uint64(e.Data) == r.id:
		number := binary.LittleEndian.Uint64(e.Data[8:])
		r.mu.Lock()
		if applied := r.waiting[number]; applied != nil {
			delete(r.waiting, number)
			close(applied)
		}
		r.mu.Unlock()
	}
	return nil
}
