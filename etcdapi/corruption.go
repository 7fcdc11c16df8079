package etcdapi

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"synod.dev/synod/kv"
)

// watchForCorruption raises the alarm of corruption when members have come to different states of which none is a majority's, so that nobody is served what may be wrong until an operator has looked. As
// in etcd it names no member then: the one that differs from a majority stops by itself. It also has this member's store read whole now and then, if that is configured.
func (s *Server) watchForCorruption() {
	var checks <-chan time.Time
	if s.corruptCheckTime > 0 {
		ticker := time.NewTicker(s.corruptCheckTime)
		defer ticker.Stop()
		checks = ticker.C
	}
	for {
		select {
		case <-s.diverged:
			s.raiseCorrupt()
		case <-checks:
			if err := s.store.Verify(s.stopped); err != nil && s.stopped.Err() == nil {
				return // the store has stopped, and said why
			}
		case <-s.stopped.Done():
			return
		}
	}
}

// raiseCorrupt tries until the alarm is raised: every member that has noticed raises the same one.
func (s *Server) raiseCorrupt() {
	command := kv.EncodeAlarm(&pb.AlarmMember{Alarm: pb.AlarmType_CORRUPT}, true)
	for {
		err := s.command(s.stopped, command)
		if err == nil || s.stopped.Err() != nil {
			return
		}
		s.logger.Warn("the alarm of corruption could not be raised and will be tried again", "error", err)
		select {
		case <-time.After(upkeepPause):
		case <-s.stopped.Done():
		}
	}
}
