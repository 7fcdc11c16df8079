package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"synod.dev/synod/internal/load"
)

const (
	// barWidth is how many characters the progress bar has, lineWidth with what is said beside it.
	barWidth, lineWidth = 30, 79
	// barEvery is how often it is drawn.
	barEvery = 200 * time.Millisecond
)

// follow waits for the run to end, and draws a progress bar meanwhile if w is a terminal that JSON does not go to.
func (o *benchOptions) follow(running *load.Running, plan load.Plan, w io.Writer) *load.Result {
	if o.asJSON || !isTerminal(w) {
		return running.Wait()
	}
	ended := make(chan *load.Result)
	go func() { ended <- running.Wait() }()
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-tick.C:
			fmt.Fprintf(w, "\r%s", bar(plan, running.Answered(), running.Latest(), time.Since(began)))
		case result := <-ended:
			fmt.Fprintf(w, "\r%*s\r", lineWidth, "")
			return result
		}
	}
}

func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// bar is the progress bar after some time, when so many requests have been answered.
func bar(plan load.Plan, answered int64, latest *load.Result, elapsed time.Duration) string {
	part := elapsed.Seconds() / (plan.Warm + plan.Duration).Seconds()
	if plan.Requests > 0 {
		part = max(part, float64(answered)/float64(plan.Requests))
	}
	part = min(part, 1)
	state := "warming up"
	if elapsed > plan.Warm {
		state = fmt.Sprintf("%s a second, p99 %.2f ms", grouped(int64(latest.Throughput())), float64(latest.Quantile(.99).Microseconds())/1000)
	}
	full := int(part * barWidth)
	line := fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100, state)
	return fmt.Sprintf("%-*.*s", lineWidth, lineWidth, line)
}
