package synod

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
	"synod.dev/synod/wal"
)

// DiskHealth is what CheckDisk has found a node's directory to be.
type DiskHealth struct {
	wal.Health
	Alone      bool       // the node knows of no other member
	installing paxos.Slot // of the snapshot that a crash interrupted the installation of; 0 if none
}

// CheckDisk reads a node's directory whole (the log, the vital state, snapshots, who the members are), changes nothing, and tells what is wrong. Nobody may have it open: hold disk.LockShared. The error is about what
// could not be read; wal.ErrNotFormatted if no node was ever there.
func CheckDisk(dir string, to disk.Inspection) (DiskHealth, error) {
	return checkDisk(disk.OS(), dir, to)
}

func checkDisk(files disk.FS, dir string, to disk.Inspection) (h DiskHealth, err error) {
	if h.Health, err = wal.Check(files, dir, to); err != nil {
		return h, err
	}
	incarnation := h.Vital.Incarnation
	if h.installing, err = intentFile.read(files, dir, incarnation); err != nil {
		return h, err
	}
	known, err := (&membership{fs: files, dir: dir, incarnation: incarnation, epoch: h.Vital.Epoch}).read()
	if h.Alone = countFounders(h.Vital.Founders) <= 1; known != nil {
		h.Alone = len(known[len(known)-1].Members) <= 1
	}
	if err != nil {
		to.Found(disk.Finding{Severity: disk.Fatal, Place: filepath.Join(dir, membershipName), Problem: "cannot tell who the members are: " + err.Error(),
			Advice: "restore the file, or replace the member; never remove it"})
	}
	diverged, err := divergedFile.read(files, dir, incarnation)
	if err != nil {
		return h, err
	}
	if diverged != 0 {
		to.Found(disk.Finding{Severity: disk.Fatal, Place: filepath.Join(dir, divergedFile.name), Problem: fmt.Sprintf("after slot %d the state of this member was another than the majority's", diverged),
			Advice: "remove the member, and add it anew with an empty directory"})
	}
	return h, checkFiles(files, dir, h.Vital.Cluster, to)
}

// checkFiles reads the snapshots, and looks for files that are nobody's.
func checkFiles(files disk.FS, dir string, cluster uint64, to disk.Inspection) error {
	names, err := files.ReadDir(dir)
	if err != nil {
		return err
	}
	snapshots := &snapshotFiles{fs: files, dir: dir}
	for i, name := range names {
		to.Progress("files", int64(i+1), int64(len(names)))
		if slot, ok := snapshotSlot(name); ok {
			if err := snapshots.read(slot, cluster, verify); err != nil {
				to.Found(disk.Finding{Severity: disk.Damage, Place: filepath.Join(dir, name), Problem: "the snapshot is not whole: " + err.Error(),
					Advice: "start the member: it uses an earlier one, or has one sent"})
			}
			continue
		}
		if stray(name) {
			f := disk.Finding{Severity: disk.Notice, Place: filepath.Join(dir, name), Problem: "this version does not know the file", Advice: "nothing: it is left alone"}
			if strings.HasSuffix(name, ".tmp") { // anything else may be a newer version's, and precious
				f.Advice, f.Remedy = "nothing, or synod disk repair: it is given another name", disk.SetAside
			}
			to.Found(f)
		}
	}
	return nil
}

// stray reports whether a file in a node's directory is none of the node's.
func stray(name string) bool {
	own := []string{disk.LockName, membershipName, membershipName + disk.TempSuffix, intentFile.name, intentFile.name + disk.TempSuffix, releasedFile.name, releasedFile.name + disk.TempSuffix, divergedFile.name, divergedFile.name + disk.TempSuffix, writtenTemp, receivedTemp, spoolName}
	return !wal.Owns(name) && !slices.Contains(own, name) && !strings.HasSuffix(name, disk.AsideSuffix)
}

// CheckMachine judges whether a state machine that has applied a slot belongs to the log; see Open.
func (h DiskHealth) CheckMachine(place string, applied paxos.Slot, to disk.Inspection) {
	switch last, trimmed := h.Last, h.Vital.Trimmed; {
	case applied > max(last, trimmed) && applied != h.installing:
		to.Found(disk.Finding{Severity: disk.Fatal, Place: place, Problem: fmt.Sprintf("it has applied slot %d, and the log ends at slot %d: they do not belong together", applied, max(last, trimmed)),
			Advice: "bring back the log that belongs here, or replace the member"})
	case applied < trimmed:
		to.Found(disk.Finding{Severity: disk.Damage, Place: place, Problem: fmt.Sprintf("it has applied slot %d, and the log begins after slot %d", applied, trimmed),
			Advice: "start the member: it fetches a snapshot from another; a member alone needs its files back, or a backup"})
	}
}
