package main

import "time"

// scale is how much is done in each mode.
type scale struct {
	full    bool
	rounds  int           // of each cell that is not bounded otherwise
	total   int           // of requests that etcd's benchmark makes in a run with many clients; with few it makes fewer
	seconds time.Duration // of one run of our own driver
	rest    time.Duration // that members are left alone after much has been written
	keys    int           // in the store that is big
	listed  int           // keys of it that are listed
	puts    int           // that many watchers are told of
	kills   int           // of the leader
	library int           // rounds of the library's cells
}

var (
	quickScale = scale{rounds: 3, total: 30_000, seconds: 1500 * time.Millisecond, rest: 3 * time.Second, keys: 100_000, listed: 100_000, puts: 100, kills: 5, library: 2}
	fullScale  = scale{full: true, rounds: 5, total: 200_000, seconds: 10 * time.Second, rest: 20 * time.Second, keys: 1_000_000, listed: 100_000, puts: 500, kills: 20, library: 5}
)

func (s scale) String() string {
	if s.full {
		return "full"
	}
	return "quick"
}
