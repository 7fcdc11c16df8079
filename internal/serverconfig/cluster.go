package serverconfig

import (
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"synod.dev/synod/paxos"
)

// Member is one entry of --initial-cluster.
type Member struct {
	ID      uint64
	Name    string
	PeerURL url.URL
	Roles   paxos.Role
}

// Founders bounds the size of a cluster. Beyond it every write waits for more disks than any failure model asks for.
const Founders = 31

// parseCluster reads name=url,name=url. The members come back in the order of their IDs.
func parseCluster(text, token string) ([]Member, error) {
	var members []Member
	for _, entry := range list(text) {
		name, address, found := strings.Cut(entry, "=")
		if !found || name == "" || address == "" {
			return nil, fmt.Errorf("%q is not of the form name=http://host:port", entry)
		}
		urls, err := advertisedURLs(address)
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", name, err)
		}
		m := Member{Name: name, PeerURL: urls[0]}
		if anyPort(m.PeerURL) {
			return nil, fmt.Errorf("member %s: nobody reaches port 0; give the port that it listens on", name)
		}
		for _, other := range members {
			switch {
			case other.Name == name:
				return nil, fmt.Errorf("member %s is listed twice; list each member once, with one URL", name)
			case other.PeerURL == m.PeerURL:
				return nil, fmt.Errorf("members %s and %s have the same URL %s; give each its own", other.Name, name, &m.PeerURL)
			case Secure(other.PeerURL) != Secure(m.PeerURL):
				return nil, fmt.Errorf("members %s and %s differ in whether they speak TLS; use it for all peer URLs or for none", other.Name, name)
			}
		}
		m.ID = MemberID([]string{m.PeerURL.String()}, token)
		members = append(members, m)
	}
	if len(members) > Founders {
		return nil, fmt.Errorf("%d members are too many; use at most %d", len(members), Founders)
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return members, nil
}

// MemberID derives a founding member's ID as etcd does: the first 8 bytes, big endian, of the SHA-1 of its
// sorted peer URLs and the cluster's token, all run together.
func MemberID(peerURLs []string, token string) uint64 {
	sum := sha1.Sum([]byte(strings.Join(slices.Sorted(slices.Values(peerURLs)), "") + token))
	return binary.BigEndian.Uint64(sum[:])
}

// ClusterID derives the cluster's ID as etcd does: the first 8 bytes, big endian, of the SHA-1 of the founders'
// sorted IDs, 8 bytes big endian each.
func ClusterID(members []Member) uint64 {
	ids := make([]uint64, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	slices.Sort(ids)
	var b []byte
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, id)
	}
	sum := sha1.Sum(b)
	return binary.BigEndian.Uint64(sum[:])
}
