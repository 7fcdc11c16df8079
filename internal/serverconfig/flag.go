package serverconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Flag is one row of the table that the parser, --help and docs/flags.md all read.
type Flag struct {
	Name    string
	Former  string // a name that etcd had for it before, which is still taken; mostly empty
	Default string
	Kind    Kind
	Group   string
	Status  Status
	Meaning string // what it does here; for a flag that does nothing, why not

	set     func(*Config, string) error // Effective flags only; nil for those that Parse looks at before all others
	allowed []string                    // Fixed flags only; the Default is always allowed
}

// Status says how much of an etcd flag's notion exists here. None is silently ignored.
type Status int

const (
	Effective Status = iota // does what it says
	Harmless                // any well-formed value is taken: it tunes something that Synod does not have, or changes no answer
	Fixed                   // only a value that asks for what Synod does anyway is taken
)

func (s Status) String() string {
	switch s {
	case Effective:
		return "effective"
	case Harmless:
		return "accepted"
	}
	return "fixed"
}

// Kind is the syntax of a flag's value.
type Kind int

const (
	Text     Kind = iota
	Bool          // a lone --flag means true
	Number        // a whole number, not negative
	Integer       // a whole number
	Duration      // as in 300ms, 1m30s; in a configuration file also whole nanoseconds
	List          // separated by commas; in a configuration file also a sequence
)

// canonical returns the one spelling of a value of this kind, so that values can be compared as text.
func (k Kind) canonical(text string) (string, error) {
	switch k {
	case Bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return "", fmt.Errorf("give true or false")
		}
		return strconv.FormatBool(v), nil
	case Number:
		v, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return "", fmt.Errorf("give a whole number, 0 or more")
		}
		return strconv.FormatUint(v, 10), nil
	case Integer:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("give a whole number")
		}
		return strconv.FormatInt(v, 10), nil
	case Duration:
		v, err := time.ParseDuration(text)
		if err != nil || v < 0 {
			return "", fmt.Errorf("give a duration such as 500ms, 10s or 5m")
		}
		return v.String(), nil
	}
	return text, nil
}

// accept checks one value, which came from origin, and makes it take effect in c.
func (f *Flag) accept(c *Config, text, origin string) error {
	value, err := f.Kind.canonical(text)
	if err == nil {
		switch {
		case f.Status == Fixed:
			err = f.onlyAllowed(value)
		case f.set != nil:
			err = f.set(c, value)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", origin, text, err)
	}
	return nil
}

func (f *Flag) onlyAllowed(value string) error {
	allowed := append([]string{f.Default}, f.allowed...)
	for _, a := range allowed {
		if canonical, err := f.Kind.canonical(a); err == nil && canonical == value {
			return nil
		}
	}
	return fmt.Errorf("not supported (%s); leave it out or set it to %s", f.Meaning, spellOut(allowed))
}

func spellOut(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	return strings.Join(quoted, " or ")
}

// environment returns the names of the variables that set the flag, the native one first.
func (f *Flag) environment() []string {
	suffix := func(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
	names := []string{"SYNOD_" + suffix(f.Name), "ETCD_" + suffix(f.Name)}
	if f.Former != "" {
		names = append(names, "ETCD_"+suffix(f.Former))
	}
	return names
}

// lookup returns the flag that has a name, or had it before, or nil.
func lookup(name string) *Flag {
	if i := slices.IndexFunc(Flags, func(f Flag) bool { return f.Name == name || f.Former == name && name != "" }); i >= 0 {
		return &Flags[i]
	}
	return nil
}

// list splits a comma-separated value and drops the blanks around its parts. An empty value has no parts.
func list(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
