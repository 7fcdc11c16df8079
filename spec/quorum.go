package spec

import "fmt"

// Acceptor numbers an acceptor, from 0 to AcceptorsMax-1. One whose disk was wiped is another acceptor.
type Acceptor int

// AcceptorsMax is the most acceptors that a run may have, those of all its configurations together.
const AcceptorsMax = 64

// Set is a set of acceptors.
type Set uint64

// SetOf returns the set of these acceptors.
func SetOf(acceptors ...Acceptor) (s Set) {
	for _, a := range acceptors {
		s |= 1 << a
	}
	return s
}

func (s Set) has(a Acceptor) bool { return s>>a&1 == 1 }

// Configuration says which sets of acceptors are quorums: a phase-1 quorum has to promise before a ballot proposes, and the votes of a phase-2 quorum choose.
// It is immutable.
type Configuration struct{ Phase1, Phase2 []Set }

// NewConfiguration refuses quorums of which one of phase 1 and one of phase 2 do not meet: two values could be chosen.
func NewConfiguration(phase1, phase2 []Set) (*Configuration, error) {
	if len(phase1) == 0 || len(phase2) == 0 {
		return nil, fmt.Errorf("spec: %d phase-1 and %d phase-2 quorums: name at least one of each", len(phase1), len(phase2))
	}
	for _, q1 := range phase1 {
		for _, q2 := range phase2 {
			if q1&q2 == 0 {
				return nil, fmt.Errorf("spec: phase-1 quorum %b and phase-2 quorum %b do not meet", q1, q2)
			}
		}
	}
	return &Configuration{phase1, phase2}, nil
}

// Sized returns every set of n of these acceptors.
func Sized(acceptors Set, n int) (sets []Set) {
	if n == 0 {
		return []Set{0}
	}
	for rest := acceptors; rest != 0; rest &= rest - 1 {
		first := rest & -rest
		for _, others := range Sized(rest&^first, n-1) {
			sets = append(sets, first|others)
		}
	}
	return sets
}

// includesOne reports whether all of some quorum is in s.
func includesOne(quorums []Set, s Set) bool {
	for _, q := range quorums {
		if q&^s == 0 {
			return true
		}
	}
	return false
}
