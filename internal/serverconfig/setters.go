package serverconfig

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type setter = func(*Config, string) error

// The functions below make a flag's setter from the field that it sets. Their argument has passed Kind.canonical.

func text(field func(*Config) *string) setter {
	return func(c *Config, value string) error { *field(c) = value; return nil }
}

func boolean(field func(*Config) *bool) setter {
	return func(c *Config, value string) error { *field(c) = value == "true"; return nil }
}

func urls(parse func(string) ([]url.URL, error), field func(*Config) *[]url.URL) setter {
	return func(c *Config, value string) (err error) {
		*field(c), err = parse(value)
		return err
	}
}

func oneOf(field func(*Config) *string, choices ...string) setter {
	return func(c *Config, value string) error {
		if !slices.Contains(choices, value) {
			return fmt.Errorf("use %s", spellOut(choices))
		}
		*field(c) = value
		return nil
	}
}

func number[N int | int64 | uint32](field func(*Config) *N, low, high uint64) setter {
	return func(c *Config, value string) error {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n < low || n > high {
			return fmt.Errorf("give a whole number from %d to %d", low, high)
		}
		*field(c) = N(n)
		return nil
	}
}

func milliseconds(field func(*Config) *time.Duration) setter {
	return func(c *Config, value string) error {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n == 0 || n > math.MaxInt32 {
			return fmt.Errorf("give milliseconds, from 1 to %d", math.MaxInt32)
		}
		*field(c) = time.Duration(n) * time.Millisecond
		return nil
	}
}

func seconds(field func(*Config) *time.Duration) setter {
	return func(c *Config, value string) error {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n == 0 || n > math.MaxInt32 {
			return fmt.Errorf("give seconds, from 1 to %d", math.MaxInt32)
		}
		*field(c) = time.Duration(n) * time.Second
		return nil
	}
}

func interval(field func(*Config) *time.Duration) setter {
	return func(c *Config, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d == 0 {
			return errors.New("give a duration above 0, such as 30s or 10m")
		}
		*field(c) = d
		return nil
	}
}

func wait(field func(*Config) *time.Duration) setter {
	return func(c *Config, value string) (err error) {
		*field(c), err = time.ParseDuration(value)
		return err
	}
}

func texts(field func(*Config) *[]string) setter {
	return func(c *Config, value string) error { *field(c) = list(value); return nil }
}

func setMetrics(c *Config, value string) error {
	if value != "basic" && value != "extensive" {
		return errors.New("use basic or extensive")
	}
	c.ExtensiveMetrics = value == "extensive"
	return nil
}

func setQuota(c *Config, value string) (err error) {
	if c.QuotaBytes, err = strconv.ParseInt(value, 10, 64); err != nil {
		return errors.New("give a whole number of bytes")
	}
	return nil
}

// samplesMax is the unit of --distributed-tracing-sampling-rate.
const samplesMax = 1_000_000

func setSampling(c *Config, value string) error {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > samplesMax {
		return fmt.Errorf("give how many of a million requests to trace, 0 to %d", samplesMax)
	}
	c.tracing.Sampled = float64(n) / samplesMax
	return nil
}

// setAuthToken leaves the options of jwt to who reads the files that they name.
func setAuthToken(c *Config, value string) error {
	if value != "simple" && !strings.HasPrefix(value, "jwt,") {
		return errors.New("use simple, or jwt,sign-method=…,priv-key=… or pub-key=…")
	}
	c.AuthToken = value
	return nil
}

func setInitialClusterToken(c *Config, value string) error {
	if value == "" {
		return errors.New("give a token, the same on every member")
	}
	c.InitialClusterToken = value
	return nil
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	"panic": slog.LevelError + 4, "fatal": slog.LevelError + 8,
}

func setLogLevel(c *Config, value string) error {
	level, ok := logLevels[strings.ToLower(value)]
	if !ok {
		return errors.New("use debug, info, warn, error, panic or fatal")
	}
	c.LogLevel = level
	return nil
}

func setLogOutputs(c *Config, value string) error {
	c.LogOutputs = list(value)
	switch {
	case len(c.LogOutputs) == 0:
		return errors.New(`name "stderr", "stdout" or files`)
	case slices.Contains(c.LogOutputs, "systemd/journal"):
		return errors.New("use stderr; systemd carries it to its journal")
	case len(c.LogOutputs) > 1 && slices.Contains(c.LogOutputs, "default"):
		return errors.New(`"default" stands alone; name the outputs instead`)
	}
	return nil
}
