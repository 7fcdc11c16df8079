package serverconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// setting is one value that someone gave, and where, for messages.
type setting struct{ text, origin string }

// settings are values by flag name.
type settings map[string]setting

func (s settings) has(name string) bool { _, ok := s[name]; return ok }

func (s settings) isTrue(name string) bool {
	value, err := Bool.canonical(s[name].text)
	return err == nil && value == "true"
}

// fromFlags reads a command line as etcd does: one dash or two, --name value or --name=value, a boolean's value only after "=".
func fromFlags(args []string) (settings, error) {
	given := settings{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if name == "h" || name == "help" {
			return nil, ErrHelp
		}
		if !strings.HasPrefix(arg, "-") || strings.HasPrefix(name, "-") || name == "" {
			return nil, fmt.Errorf("unexpected argument %q; flags begin with --", arg)
		}
		f := lookup(name)
		switch {
		case f == nil:
			return nil, fmt.Errorf("unknown flag --%s%s", name, suggestion(name))
		case hasValue:
		case f.Kind == Bool:
			value = "true"
		case len(args) == 0:
			return nil, fmt.Errorf("--%s needs a value; write --%s=VALUE", name, name)
		default:
			value, args = args[0], args[1:]
		}
		if before, repeated := given[f.Name]; repeated && before.text != value {
			return nil, fmt.Errorf("--%s is given twice, as %q and %q; keep one", f.Name, before.text, value)
		}
		given[f.Name] = setting{text: value, origin: "--" + name}
	}
	return given, nil
}

// suggestion names the flag that was probably meant, if there is one.
func suggestion(name string) string {
	for _, f := range Flags {
		if strings.ReplaceAll(f.Name, "-", "") == strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)) {
			return "; did you mean --" + f.Name + "?"
		}
	}
	return "; see --help for those there are"
}

// configFile returns the path of the configuration file, or "".
func (s settings) configFile(environ []string) string {
	if s.has("config-file") {
		return s["config-file"].text
	}
	for _, name := range lookup("config-file").environment() {
		for _, entry := range environ {
			if value, found := strings.CutPrefix(entry, name+"="); found && value != "" {
				return value
			}
		}
	}
	return ""
}

// notForUs are ETCD_ variables that commonly surround a server without being meant for it: what etcd's own tools and images set, and the
// links that Kubernetes injects for a Service whose name begins with etcd (or synod).
var notForUs = regexp.MustCompile(`^(ETCD|SYNOD)_(VERSION|UNSUPPORTED_ARCH|VERIFY|([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?))$`)

// addEnvironment adds what the environment sets and the command line does not. An empty variable counts as unset.
func (s settings) addEnvironment(environ []string, c *Config) error {
	flagOf := map[string]*Flag{}
	for i := range Flags {
		for _, name := range Flags[i].environment() {
			flagOf[name] = &Flags[i]
		}
	}
	for _, name := range lookup("version").environment() {
		delete(flagOf, name) // images set it to say what they hold
	}
	fromVariable := settings{}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" || !strings.HasPrefix(name, "ETCD_") && !strings.HasPrefix(name, "SYNOD_") {
			continue
		}
		f := flagOf[name]
		if f == nil && notForUs.MatchString(name) {
			continue
		}
		if f == nil {
			return fmt.Errorf("the environment variable %s belongs to no flag; unset it or correct its name", name)
		}
		if other, set := fromVariable[f.Name]; set && other.text != value {
			return fmt.Errorf("%s=%q contradicts %s=%q; unset one", name, value, other.origin, other.text)
		}
		fromVariable[f.Name] = setting{text: value, origin: name}
	}
	for name, variable := range fromVariable {
		if flag, given := s[name]; given {
			if flag.text != variable.text {
				c.warn("%s is ignored: --%s on the command line comes first", variable.origin, name)
			}
			continue
		}
		s[name] = variable
	}
	slices.Sort(c.Warnings)
	return nil
}
