package main

import (
	"fmt"
	"log/slog"
	"os"

	"google.golang.org/grpc/grpclog"
)

// quietGRPC lets gRPC and the JSON gateway log to logger, at the level debug: what they call warnings and errors is about single connections and
// requests, most of them a client's doing, and would else go to stderr in a form of its own.
type quietGRPC struct{ logger *slog.Logger }

var _ grpclog.LoggerV2 = quietGRPC{}

func (q quietGRPC) say(text string) {
	q.logger.Debug("gRPC says: " + text)
}

func (quietGRPC) Info(...any)                   {}
func (quietGRPC) Infoln(...any)                 {}
func (quietGRPC) Infof(string, ...any)          {}
func (q quietGRPC) Warning(args ...any)         { q.say(fmt.Sprint(args...)) }
func (q quietGRPC) Warningln(args ...any)       { q.say(fmt.Sprint(args...)) }
func (q quietGRPC) Warningf(f string, a ...any) { q.say(fmt.Sprintf(f, a...)) }
func (q quietGRPC) Error(args ...any)           { q.say(fmt.Sprint(args...)) }
func (q quietGRPC) Errorln(args ...any)         { q.say(fmt.Sprint(args...)) }
func (q quietGRPC) Errorf(f string, a ...any)   { q.say(fmt.Sprintf(f, a...)) }

// Fatal and its kin end the process, as gRPC expects of them.
func (q quietGRPC) Fatal(args ...any)         { q.fatal(fmt.Sprint(args...)) }
func (q quietGRPC) Fatalln(args ...any)       { q.fatal(fmt.Sprint(args...)) }
func (q quietGRPC) Fatalf(f string, a ...any) { q.fatal(fmt.Sprintf(f, a...)) }
func (q quietGRPC) fatal(text string) {
	q.logger.Error("gRPC cannot go on: " + text)
	os.Exit(exitFailure)
}

// V says how much of what is only said when asked for is wanted: nothing.
func (quietGRPC) V(level int) bool { return level <= 0 }
