package mutants

// admissionMutants are of fairness and bounds of the leader's queue.
var admissionMutants = []Mutant{
	{
		ID:     "shortest-gives-way",
		Breaks: "when the queue is full the longest source gives way",
		File:   "paxos/admission.go", Func: "admission.longest",
		Old:  `s.bytes > longest.bytes`,
		New:  `s.bytes < longest.bytes`,
		Dies: unit("TestAGreedySourceStarvesNobody"),
	},
	{
		ID:     "queue-unbounded",
		Breaks: "the queue's commands are bounded",
		File:   "paxos/admission.go", Func: "admission.add",
		Old:  `for q.bytes > q.limits.AdmissionBytes || q.count > q.limits.AdmissionCount {`,
		New:  `for false {`,
		Dies: unit("TestASourceThatGivesWayTakesNobodysTurn"),
	},
	{
		ID:     "queue-bytes-unbounded",
		Breaks: "the queue's bytes are bounded",
		File:   "paxos/admission.go", Func: "admission.add",
		Old:  `for q.bytes > q.limits.AdmissionBytes || q.count`,
		New:  `for q.count`,
		Dies: unit("TestAdmissionIsInOrderBoundedAndLosesNothing"),
	},
	{
		ID:     "quantum-ignored",
		Breaks: "each source is admitted its quantum a round",
		Source: "Shreedhar and Varghese, \"Efficient fair queueing using deficit round robin\" (1995)",
		File:   "paxos/admission.go", Func: "admission.take",
		Old: `s.deficit += q.limits.QuantumBytes
`,
		New: `s.deficit += 1 << 40
`,
		Dies: unit("TestACommandLargerThanTheQuantumAndTheBatchStillGoes"),
	},
	{
		ID:     "deficit-not-charged",
		Breaks: "what is admitted is charged",
		Source: "Shreedhar and Varghese, \"Efficient fair queueing using deficit round robin\" (1995)",
		File:   "paxos/admission.go", Func: "admission.take",
		Old: `			s.deficit -= s.queue[n].cost()
`,
		New:  "",
		Dies: unit("TestAGreedySourceStarvesNobody"),
	},
	{
		ID:     "turn-restarts-with-each-batch",
		Breaks: "the next batch goes on where the last one ended",
		File:   "paxos/admission.go", Func: "admission.take",
		Old: `	for q.count > 0 {
		if q.turn`,
		New: `	q.turn = 0
	for q.count > 0 {
		if q.turn`,
		Dies: unit("TestASourceThatGivesWayTakesNobodysTurn"),
	},
	{
		ID:     "batch-limit-ignored",
		Breaks: "a batch is as long as it may be",
		File:   "paxos/admission.go", Func: "admission.take",
		Old:  `if len(batch) > 0 && len(batch)+s.queue[n].cost() > limit {`,
		New:  `if false {`,
		Dies: unit("TestASourceThatGivesWayTakesNobodysTurn"),
	},
	{
		ID:     "turn-not-adjusted-on-retire",
		Breaks: "a source that is done takes nobody's turn",
		File:   "paxos/admission.go", Func: "admission.retire",
		Old: `			if i < q.turn {
				q.turn--
			}
`,
		New:  "",
		Dies: unit("TestASourceThatGivesWayTakesNobodysTurn"),
	},
	{
		ID:     "quantum-granted-twice",
		Breaks: "a source that had to wait for the next batch gets no second quantum",
		File:   "paxos/admission.go", Func: "admission.take",
		Old:  `				s.deficit -= q.limits.QuantumBytes //`,
		New:  `				//`,
		Dies: unit("TestASourceThatGivesWayTakesNobodysTurn"),
	},
}
