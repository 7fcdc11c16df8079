package serverconfig

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// fileLimit bounds a configuration file, in bytes.
const fileLimit = 1 << 20

// sections are the keys of etcd's configuration file that hold keys of their own, with the flags those stand for.
var sections = map[string]map[string]string{
	"client-transport-security": {
		"cert-file":        "cert-file",
		"key-file":         "key-file",
		"client-cert-file": "client-cert-file",
		"client-key-file":  "client-key-file",
		"client-cert-auth": "client-cert-auth",
		"trusted-ca-file":  "trusted-ca-file",
		"auto-tls":         "auto-tls",
		"allowed-hostname": "client-cert-allowed-hostname",
	},
	"peer-transport-security": {
		"cert-file":                    "peer-cert-file",
		"key-file":                     "peer-key-file",
		"client-cert-file":             "peer-client-cert-file",
		"client-key-file":              "peer-client-key-file",
		"client-cert-auth":             "peer-client-cert-auth",
		"trusted-ca-file":              "peer-trusted-ca-file",
		"auto-tls":                     "peer-auto-tls",
		"allowed-cn":                   "peer-cert-allowed-cn",
		"allowed-hostname":             "peer-cert-allowed-hostname",
		"skip-client-san-verification": "peer-skip-client-san-verification",
	},
	"socket-options": {
		"reuse-port":    "socket-reuse-port",
		"reuse-address": "socket-reuse-address",
	},
}

// sectionOnly are the flags that etcd's file knows only inside a section.
var sectionOnly = func() map[string]string {
	inside := map[string]string{}
	for section, keys := range sections {
		for key, flag := range keys {
			inside[flag] = section + ": " + key
		}
	}
	return inside
}()

// fromFile reads a configuration file in etcd's YAML form.
func fromFile(path string) (settings, error) {
	content, err := readBounded(path, fileLimit)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file: %w", err)
	}
	given, err := parseFile(content)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	return given, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return content, err
}

func parseFile(content []byte) (settings, error) {
	var keys map[string]any
	exact := func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d } // float64 would round large numbers
	if err := yaml.UnmarshalStrict(content, &keys, exact); err != nil {
		return nil, fmt.Errorf("not valid YAML: %s", oneLine(err))
	}
	given := settings{}
	for key, value := range keys {
		if names, isSection := sections[key]; isSection {
			if err := given.addSection(key, names, value); err != nil {
				return nil, err
			}
			continue
		}
		f := lookup(key)
		switch {
		case f == nil, key == "config-file", key == "version":
			return nil, fmt.Errorf("unknown key %q%s", key, suggestion(key))
		case sectionOnly[key] != "":
			return nil, fmt.Errorf("key %q belongs under %q", key, sectionOnly[key])
		}
		if err := given.addValue(key, f, value); err != nil {
			return nil, err
		}
	}
	return given, nil
}

func (s settings) addSection(section string, names map[string]string, value any) error {
	keys, ok := value.(map[string]any)
	if !ok && value != nil {
		return fmt.Errorf("%q must hold keys of its own", section)
	}
	for key, value := range keys {
		f := lookup(names[key])
		if f == nil {
			return fmt.Errorf("unknown key %q under %q", key, section)
		}
		if err := s.addValue(section+"."+key, f, value); err != nil {
			return err
		}
	}
	return nil
}

// addValue turns a YAML value into the text that the flag would be given. A key without a value counts as absent.
func (s settings) addValue(key string, f *Flag, value any) error {
	var text string
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		text = v
	case bool:
		text = fmt.Sprint(v)
	case json.Number:
		text = v.String()
		if f.Kind == Duration {
			nanoseconds, err := v.Int64()
			if err != nil {
				return fmt.Errorf("%s: give whole nanoseconds, or text such as \"10s\"", key)
			}
			text = time.Duration(nanoseconds).String()
		}
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			part, ok := v[i].(string)
			if !ok || f.Kind != List {
				return fmt.Errorf("%s takes no such sequence; write one value", key)
			}
			parts[i] = part
		}
		text = strings.Join(parts, ",")
	default:
		return fmt.Errorf("%s takes one value, no keys", key)
	}
	s[f.Name] = setting{text: text, origin: key}
	return nil
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
