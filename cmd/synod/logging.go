package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"gopkg.in/natefinch/lumberjack.v2"

	"synod.dev/synod/internal/serverconfig"
)

// newLogger returns the server's logger and a function that closes its files. JSON lines have the keys of etcd's log (level, ts,
// caller, msg), because people's tools read those.
func newLogger(c *serverconfig.Config) (*slog.Logger, func() error, error) {
	var outputs []io.Writer
	var files []io.Closer
	closeFiles := func() error {
		var errs []error
		for _, f := range files {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	for _, output := range c.LogOutputs {
		switch output {
		case "default", "stderr":
			outputs = append(outputs, os.Stderr)
		case "stdout":
			outputs = append(outputs, os.Stdout)
		default:
			f, err := openLog(output, c.LogRotation)
			if err != nil {
				return nil, nil, errors.Join(fmt.Errorf("cannot log to --log-outputs: %w; choose a file that can be written", err), closeFiles())
			}
			outputs = append(outputs, f)
			files = append(files, f)
		}
	}
	options := &slog.HandlerOptions{AddSource: true, Level: c.LogLevel, ReplaceAttr: etcdKeys}
	var handler slog.Handler = slog.NewJSONHandler(io.MultiWriter(outputs...), options)
	if c.LogFormat == "console" {
		handler = slog.NewTextHandler(io.MultiWriter(outputs...), options)
	}
	return slog.New(handler), closeFiles, nil
}

// openLog opens a file to append to, or one that is set aside when it is large.
func openLog(path string, rotation *serverconfig.LogRotation) (io.WriteCloser, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || rotation == nil {
		return f, err
	}
	if err := f.Close(); err != nil { // it was opened only to know now that it can be
		return nil, err
	}
	return &lumberjack.Logger{Filename: path, MaxSize: rotation.MaxSize, MaxAge: rotation.MaxAge, MaxBackups: rotation.MaxBackups,
		LocalTime: rotation.LocalTime, Compress: rotation.Compress}, nil
}

// etcdKeys renames and rewrites what every log line has to the form of etcd's.
func etcdKeys(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("ts", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000000Z"))
	case slog.LevelKey:
		level, _ := a.Value.Any().(slog.Level)
		return slog.String("level", levelName(level))
	case slog.SourceKey:
		if source, ok := a.Value.Any().(*slog.Source); ok {
			dir, file := filepath.Split(source.File)
			return slog.String("caller", fmt.Sprintf("%s/%s:%d", filepath.Base(dir), file, source.Line))
		}
	}
	switch v := a.Value.Any().(type) {
	case error:
		return slog.String(a.Key, strings.ReplaceAll(plainly(v), "\n", "; "))
	case time.Duration:
		return slog.String(a.Key, v.String())
	}
	return a
}

// plainly is what an error says, without the code that it has for clients.
func plainly(err error) string {
	if s, ok := status.FromError(err); ok && s != nil {
		return s.Message()
	}
	return err.Error()
}

func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	}
	return "error"
}
