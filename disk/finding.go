package disk

import "fmt"

// Severity says what a finding means for the member whose disk it is on.
type Severity uint8

const (
	Notice Severity = iota // nothing that counts is lost: the next start puts it in order
	Damage                 // something is lost here, and the member gets it back from the others
	Fatal                  // the member must not start as it is
)

func (s Severity) String() string { return [...]string{"notice", "damage", "fatal"}[s] }

// Remedy says what the owner of a directory can do about a finding without the help of others, and without doing harm.
type Remedy uint8

const (
	None     Remedy = iota
	Recovery        // the log's own recovery, which each start begins with, puts it in order
	SetAside        // the file, or what it is part of, can be given another name: it will be made anew
)

// Finding is one thing that is not as it should be on a disk.
type Finding struct {
	Severity Severity
	Place    string // a file, with ":offset" behind it if that is known
	Problem  string // what is wrong
	Advice   string // what to do
	Remedy   Remedy
}

// String renders the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s: %s", f.Severity, f.Place, f.Problem, f.Advice)
}

// Inspection is whom a check tells what it finds, and how far it is. Both functions are called from the checking goroutine.
type Inspection struct {
	Found    func(Finding)
	Progress func(what string, done, total int64) // in bytes or rows
}

// AsideSuffix ends the names of what has been set aside: nobody reads it any more, and it may be removed.
const AsideSuffix = ".aside"
