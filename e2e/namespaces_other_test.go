//go:build unix && !linux

package e2e

import "testing"

// namespacesFlag is never set here.
var namespacesFlag = new(bool)

// newNetworkedCluster describes a cluster on the only network that there is here.
func newNetworkedCluster(t testing.TB, n int) (*cluster, network) { return newLinkedCluster(t, n) }
