package serverconfig

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// gates are the feature gates of etcd 3.7, with what it would mean to open those that ask for what does not exist here. The others change no answer.
var gates = map[string]string{
	"AllAlpha":                     "what they open has none, or members always do it",
	"AllBeta":                      "",
	"CompactHashCheck":             "",
	"FastLeaseKeepAlive":           "",
	"InitialCorruptCheck":          "members compare digests as they run, and not before they serve",
	"LeaseCheckpoint":              "",
	"LeaseCheckpointPersist":       "",
	"PriorityRequest":              "",
	"SetMemberLocalAddr":           "the system chooses the address from which members dial",
	"StopGRPCServiceOnDefrag":      "",
	"TxnModeWriteWithSharedBuffer": "",
}

// parseGates reads name=true,name=false.
func parseGates(text string) (map[string]bool, error) {
	open := map[string]bool{}
	for _, part := range list(text) {
		name, value, _ := strings.Cut(part, "=")
		if _, known := gates[name]; !known {
			return nil, fmt.Errorf("there is no feature gate %q; those of etcd 3.7 are %s", name, strings.Join(slices.Sorted(maps.Keys(gates)), ", "))
		}
		truth, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("give the feature gate %s as %s=true or %s=false", name, name, name)
		}
		open[name] = truth
	}
	return open, nil
}

// setGates takes every gate of etcd's, and warns of those that ask for what nobody does here.
func setGates(c *Config, value string) error {
	open, err := parseGates(value)
	for _, name := range slices.Sorted(maps.Keys(open)) {
		if why := gates[name]; open[name] && why != "" {
			c.warn("--feature-gates: %s has no effect: %s", name, why)
		}
	}
	return err
}
