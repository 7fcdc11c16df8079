package rbac

import (
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
)

// interval is the keys from begin up to but not including end, or from begin on.
type interval struct {
	begin, end string
	open       bool // there is no end
}

// intervalOf reads a key and range end as etcd's requests and permissions have them: no end means the key alone, "\x00" all keys from
// it on. A request whose end is not above its key reaches no key; it is decided as its key alone would be, as etcd does.
func intervalOf(key, end string) interval {
	switch {
	case end == "\x00":
		return interval{begin: key, open: true}
	case end <= key: // no end among them
		return interval{begin: key, end: key + "\x00"}
	}
	return interval{begin: key, end: end}
}

// reaches reports whether the end of i is not below that of j.
func (i interval) reaches(j interval) bool { return i.open || !j.open && i.end >= j.end }

// intervals are in order and do not touch.
type intervals []interval

func merge(is []interval) intervals {
	slices.SortFunc(is, func(a, b interval) int { return strings.Compare(a.begin, b.begin) })
	merged := intervals{}
	for _, i := range is {
		n := len(merged)
		if n == 0 || !merged[n-1].open && merged[n-1].end < i.begin {
			merged = append(merged, i)
		} else if !merged[n-1].reaches(i) {
			merged[n-1].end, merged[n-1].open = i.end, i.open
		}
	}
	return merged
}

// cover reports whether every key of i lies in one of the intervals.
func (is intervals) cover(i interval) bool {
	n, exact := slices.BinarySearchFunc(is, i.begin, func(have interval, begin string) int { return strings.Compare(have.begin, begin) })
	if !exact {
		n-- // the last that begins before i
	}
	return n >= 0 && (is[n].open || i.begin < is[n].end) && is[n].reaches(i)
}

// grants is what the roles of a user add up to.
type grants struct{ read, write intervals }

func grantsOf(permissions []*authpb.Permission) *grants {
	var read, write []interval
	for _, p := range permissions {
		i := intervalOf(string(p.Key), string(p.RangeEnd))
		if p.PermType == authpb.Permission_READ || p.PermType == authpb.Permission_READWRITE {
			read = append(read, i)
		}
		if p.PermType == authpb.Permission_WRITE || p.PermType == authpb.Permission_READWRITE {
			write = append(write, i)
		}
	}
	return &grants{read: merge(read), write: merge(write)}
}
