// Package mutants is a list of the rules on which safety and progress rest, each with the change that breaks it, and the means to
// run the checks against code so broken. The production code knows nothing of it. docs/verification.md says how it works,
// docs/mutants.md what kills what.
package mutants

import "slices"

// Mutant is one rule, broken.
type Mutant struct {
	ID     string // in words, joined by hyphens
	Breaks string // what the rule says, or what goes wrong without it, in one line
	Source string // who made this mistake or described it; empty if it is our own
	File   string // path in the module, with slashes
	Func   string // Name, or Type.Name for a method
	Old    string // what keeps the rule: occurs exactly once in the function's body
	New    string // what breaks it
	Dies   Killer // the cheapest that kills it
}

// Killer is a layer of checks and what it is to run.
type Killer struct {
	Layer  Layer
	What   string // Unit: the name of a test. Model: a world. Sim: a number of seeds. Crash: a number of images
	Folder string // Unit: of the test's package, if that is not the mutant's
}

// Layer is a kind of check.
type Layer string

const (
	Unit  Layer = "unit"  // tests of the mutant's own package
	Model Layer = "model" // the model checker
	Sim   Layer = "sim"   // the simulator
	Crash Layer = "crash" // crash images of the log
)

func unit(test string) Killer    { return Killer{Layer: Unit, What: test} }
func model(world string) Killer  { return Killer{Layer: Model, What: world} }
func crash(images string) Killer { return Killer{Layer: Crash, What: images} }

// All returns every mutant, in the order of the documents.
func All() []Mutant {
	return slices.Concat(acceptorMutants, gateMutants, recoveryMutants, proposerMutants, learnerMutants, readerMutants, electionMutants,
		forwarderMutants, admissionMutants, identityMutants, membershipMutants, installMutants, rolesMutants, handoverMutants, salvageMutants, codecMutants, logMutants, vitalMutants, surveyMutants, segmentMutants, sessionMutants, digestMutants, storeMutants)
}

// Third returns the mutants of one of three parts, by n modulo 3. The parts differ in length by one at most and are alike in kind.
func Third(all []Mutant, n int) []Mutant {
	var part []Mutant
	for i, m := range all {
		if i%3 == n%3 {
			part = append(part, m)
		}
	}
	return part
}

// The canaries prove that the alarm works: the harmless one must survive and the deadly one must die, in each layer. They are at
// home in a function that every layer calls.
const (
	harmlessID = "canary-harmless"
	deadlyID   = "canary-deadly"
)

var canaries = []Mutant{
	{ID: harmlessID, File: "paxos/ballot.go", Func: "Ballot.Compare"},
	{ID: deadlyID, File: "paxos/ballot.go", Func: "Ballot.Compare", New: `panic("the canary is dead")`},
}
