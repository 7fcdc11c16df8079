package paxos

// onMended logs again what the disk has lost of slots that are delivered: each is chosen, so its value is what any peer has that has delivered it, too. A slot above is no business of this: its
// vote may be of another value, and is learned, or cast anew, in the ordinary way.
func (l *learner) onMended(records []*Record) {
	for _, rec := range records {
		if rec.Slot > 0 && rec.Slot <= l.delivered {
			l.r.append(&Record{Kind: RecordChosen, Slot: rec.Slot, Epoch: rec.Epoch, Value: rec.Value})
		}
	}
}
