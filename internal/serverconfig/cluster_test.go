package serverconfig

import (
	"slices"
	"testing"
)

// The IDs below were read off etcd 3.7.3 (etcdctl endpoint status and member list) founded with the same flags.
func TestIDsAreEtcds(t *testing.T) {
	for _, test := range []struct {
		cluster, token string
		members        map[string]uint64
		id             uint64
	}{
		{"default=http://localhost:2380", "etcd-cluster", map[string]uint64{"default": 0x8e9e05c52164694d}, 0xcdf818194e3a8c32},
		{"a=http://127.0.0.1:23801,b=http://127.0.0.1:23802,c=http://127.0.0.1:23803", "tok-1",
			map[string]uint64{"a": 17836315519559875096, "b": 4661747484538762480, "c": 12651340805646565432}, 0x200f01cae6db7146},
	} {
		members, err := parseCluster(test.cluster, test.token)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if m.ID != test.members[m.Name] {
				t.Errorf("%s in %s: ID %x, etcd has %x", m.Name, test.cluster, m.ID, test.members[m.Name])
			}
		}
		slices.Reverse(members) // the order does not count
		if id := ClusterID(members); id != test.id {
			t.Errorf("%s: cluster ID %x, etcd has %x", test.cluster, id, test.id)
		}
	}
}
