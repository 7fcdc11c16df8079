// Package runledger is a file of lines of JSON, one for each run of a layer of checks: what was run, on what, and how it ended.
package runledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Entry is one line. Numbers that a layer does not have are zero.
type Entry struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"` // with a plus if the source had changes beyond it
	Layer   string    `json:"layer"`
	First   uint64    `json:"first"`   // seed or life
	Next    uint64    `json:"next"`    // every one from First on and below this was run to its end
	Events  int64     `json:"events"`  // steps, disk calls or executions
	Faults  int64     `json:"faults"`  // injected
	States  int64     `json:"states"`  // distinct states, images or mutants
	Seconds float64   `json:"seconds"` // of wall time
	Verdict string    `json:"verdict"` // Passed, or what was violated
}

// Passed is the verdict of a run that found nothing.
const Passed = "passed"

// Append adds a line at the end of the file, which is made if it is not there.
func Append(file string, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("the ledger cannot be written: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Read returns the lines of the file, none if it is not there.
func Read(file string) ([]Entry, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var entries []Entry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // a verdict may be a long schedule
	for n := 1; lines.Scan(); n++ {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%s line %d is none of a ledger: %w: mend it or name another file", file, n, err)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

// Next returns the seed that a layer goes on with at a commit: the highest Next of what has passed, or 0.
func Next(file, layer, commit string) (uint64, error) {
	entries, err := Read(file)
	var next uint64
	for _, e := range entries {
		if e.Layer == layer && e.Commit == commit && e.Verdict == Passed {
			next = max(next, e.Next)
		}
	}
	return next, err
}
