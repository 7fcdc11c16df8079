package kv

import (
	"encoding/binary"
	"time"

	"synod.dev/synod/paxos"
)

// upkeep is a command that no client has sent: a member proposes it so that leases live and end, alarms are known, and history does not grow for ever. It never fails but with the store.
type upkeep interface {
	encode() []byte
	run(w *writer) (Result, error)
}

const (
	// upkeepLeasesMax is how many leases one command may name.
	upkeepLeasesMax = 4096
	// expiryKeysMax ends a run of expiries: no lease is ended once so many keys have been deleted. It is part of what the command means.
	expiryKeysMax = 256
	// clockStepMax bounds one advance of the lease clock, and so how much later than its reading a lease may have been renewed.
	clockStepMax = 5 * time.Second
)

// leaseRenewal renews the leases of these ids, as far as they exist.
type leaseRenewal struct{ ids []int64 }

// leaseExpiry ends leases that nobody has renewed since.
type leaseExpiry struct{ leases []expired }

// expired names a lease and its last renewal. If it was renewed again, or is another lease by now, the slot differs.
type expired struct {
	id      int64
	renewed paxos.Slot
}

// clockAdvance moves the lease clock on, by what its proposer has measured since it applied the reading from.
type clockAdvance struct{ from, by time.Duration }

// EncodeLeaseRenewal makes the command that renews leases; its Result has their TTLs. It takes at most MaxLeaseRenewals ids.
func EncodeLeaseRenewal(ids []int64) []byte { return leaseRenewal{ids}.encode() }

// MaxLeaseRenewals is how many leases one command renews at most.
const MaxLeaseRenewals = upkeepLeasesMax

// encode: varint ids.
func (r leaseRenewal) encode() []byte {
	b := make([]byte, 1, 1+binary.MaxVarintLen64*len(r.ids))
	b[0] = byte(kindLeaseRenewal)
	for _, id := range r.ids {
		b = binary.AppendVarint(b, id)
	}
	return b
}

// encode: for each lease varint id, uvarint slot.
func (e leaseExpiry) encode() []byte {
	b := []byte{byte(kindLeaseExpiry)}
	for _, l := range e.leases {
		b = binary.AppendVarint(b, l.id)
		b = binary.AppendUvarint(b, uint64(l.renewed))
	}
	return b
}

// encode: uvarint from and by, in nanoseconds.
func (a clockAdvance) encode() []byte {
	b := binary.AppendUvarint([]byte{byte(kindLeaseClock)}, uint64(a.from))
	return binary.AppendUvarint(b, uint64(a.by))
}

// decodeUpkeep reads a command for which isUpkeep holds.
func decodeUpkeep(command []byte) (upkeep, error) {
	p := parser{rest: command[1:]}
	var u upkeep
	switch kind(command[0]) {
	case kindLeaseRenewal:
		r := leaseRenewal{}
		for len(p.rest) > 0 && !p.failed && len(r.ids) < upkeepLeasesMax {
			r.ids = append(r.ids, p.varint())
		}
		u = r
	case kindLeaseExpiry:
		e := leaseExpiry{}
		for len(p.rest) > 0 && !p.failed && len(e.leases) < upkeepLeasesMax {
			e.leases = append(e.leases, expired{id: p.varint(), renewed: paxos.Slot(p.uvarint())})
		}
		u = e
	case kindAlarm:
		u = parseAlarmChange(&p)
	case kindHistoryTrim:
		u = historyTrim{revision: p.varint()}
	case kindLeaseClock:
		u = clockAdvance{from: time.Duration(p.uvarint()), by: time.Duration(p.uvarint())}
	}
	if p.failed || len(p.rest) > 0 {
		return nil, errMalformed
	}
	return u, nil
}

func isUpkeep(command []byte) bool {
	return len(command) > 0 && kind(command[0]) >= kindLeaseRenewal && kind(command[0]) <= kindHistoryTrim
}

// keepUp runs a command for which isUpkeep holds.
func (w *writer) keepUp(command []byte) (Result, error) {
	u, err := decodeUpkeep(command)
	if err != nil {
		return Result{}, err
	}
	return u.run(w)
}

func (r leaseRenewal) run(w *writer) (Result, error) {
	ttls := make([]int64, len(r.ids))
	for i, id := range r.ids {
		l, err := w.lease(id)
		if err != nil {
			return Result{}, err
		}
		if !l.exists() {
			continue
		}
		ttls[i] = l.ttl
		if err := w.renewLease(id, l); err != nil {
			return Result{}, err
		}
		w.counts.LeasesRenewed++
	}
	return Result{Renewed: ttls}, nil
}

func (e leaseExpiry) run(w *writer) (Result, error) {
	deleted := uint32(0)
	for _, due := range e.leases {
		if deleted >= expiryKeysMax {
			break
		}
		l, err := w.lease(due.id)
		if err != nil {
			return Result{}, err
		}
		if !l.exists() || l.renewed != due.renewed {
			continue
		}
		w.subs = 0 // a revision for each lease
		if err := w.endLease(due.id); err != nil {
			return Result{}, err
		}
		w.counts.LeasesExpired++
		deleted += w.subs
	}
	return Result{}, nil
}

func (a clockAdvance) run(w *writer) (Result, error) {
	if a.from == w.leaseClock && a.by > 0 && a.by <= clockStepMax {
		w.leaseClock += a.by
	}
	return Result{}, nil
}
