package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"synod.dev/synod/internal/load"
)

// The cells of this file are driven by etcd's own benchmark: nobody can say that the driver favours us.

// toolCell is a load of etcd's benchmark with so many clients, ten on a connection.
func toolCell(name, title string, contenders []string, clients int, bars []bar, args ...string) *cell {
	return &cell{
		name: name, title: title, stage: loadStage, contenders: contenders, bars: bars,
		columns: []figure{throughput, mean, p50, p99, cpu, peak},
		measure: func(ctx context.Context, b *bed, contender string, _ float64) (run, error) {
			c, err := b.cluster(ctx, contender)
			if err != nil {
				return run{}, err
			}
			if err := putRanged(ctx, c); err != nil {
				return run{}, err
			}
			total := b.scale.total
			if clients < 100 {
				total /= 20
			}
			f, err := c.metered(func() (figures, float64, error) {
				f, err := runTool(ctx, b, c, clients, total, args)
				return f, float64(total), err
			})
			return run{Figures: f}, err
		},
	}
}

func runTool(ctx context.Context, b *bed, c *cluster, clients, total int, args []string) (figures, error) {
	all := append([]string{"--endpoints=" + strings.Join(c.endpoints(), ","), "--precise",
		fmt.Sprint("--clients=", clients), fmt.Sprint("--conns=", max(1, clients/10))}, args...)
	command := exec.CommandContext(ctx, filepath.Join(b.bin, etcdBenchmark), append(all, fmt.Sprint("--total=", total))...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("etcd's benchmark: %w: %s", err, oneLine(stderr.Bytes()))
	}
	return parseTool(output)
}

// parseTool reads what etcd's benchmark prints: a summary, or one for each kind of request. Of several the requests are added, the means
// weighted, and the largest percentiles taken.
func parseTool(output []byte) (figures, error) {
	f := figures{}
	var average, weighted float64
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case strings.HasPrefix(lines.Text(), "Error distribution"):
			lines.Scan()
			return nil, fmt.Errorf("requests failed: %s", strings.TrimSpace(lines.Text()))
		case len(words) < 2:
		case words[0] == "Average:":
			average = number(words[1])
		case words[0] == "Requests/sec:":
			rate := number(words[1])
			f[throughput] += rate
			weighted += rate * average
		case len(words) == 4 && words[1] == "in":
			if name, known := toolPercentiles[words[0]]; known {
				f[name] = max(f[name], 1000*number(words[2]))
			}
		}
	}
	if f[throughput] == 0 || f[p99] == 0 {
		return nil, errors.New("etcd's benchmark printed no summary")
	}
	f[mean] = 1000 * weighted / f[throughput]
	return f, nil
}

var toolPercentiles = map[string]figure{"50%": p50, "99%": p99, "99.9%": p999}

// number is 0 for what is none.
func number(word string) float64 {
	x, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return 0
	}
	return x
}

// loadCells are the loads of etcd's own performance page, and more of their kind.
func loadCells() []*cell {
	three, two := []string{synod, etcd, nothing}, []string{synod, etcd}
	put := []string{"put", "--key-size=8", "--sequential-keys", "--key-space-size=100000", "--val-size=256"}
	linear, serial := []string{"range", rangedKey, "--consistency=l"}, []string{"range", rangedKey, "--consistency=s"}
	mixed := []string{"txn-mixed", rangedKey, "--key-size=8", "--key-space-size=100000", "--val-size=256", "--limit=10", "--rw-ratio=1"}
	return []*cell{
		toolCell("put-1", "Put, 1 client", three, 1, []bar{{figure: mean, against: []string{etcd}, atMost: .5}}, put...),
		toolCell("put-100", "Put, 100 clients on 10 connections", three, 100, nil, put...),
		toolCell("put-1000", "Put, 1,000 clients on 100 connections", three, 1000, []bar{
			{figure: throughput, against: []string{etcd}, atLeast: 2.2},
			{figure: throughput, against: []string{nothing}, atLeast: .6},
			{figure: cpu, against: []string{etcd}, atMost: .5},
		}, put...),
		toolCell("range-1", "Linearizable range of one key, 1 client", three, 1, []bar{{figure: mean, against: []string{etcd}, atMost: .6}}, linear...),
		toolCell("range-100", "Linearizable range of one key, 100 clients", three, 100, nil, linear...),
		toolCell("range-1000", "Linearizable range of one key, 1,000 clients", three, 1000, []bar{{figure: throughput, against: []string{etcd}, atLeast: 1.7}}, linear...),
		toolCell("srange-1", "Serializable range of one key, 1 client", three, 1, nil, serial...),
		toolCell("srange-100", "Serializable range of one key, 100 clients", three, 100, nil, serial...),
		toolCell("srange-1000", "Serializable range of one key, 1,000 clients", three, 1000, []bar{{figure: throughput, against: []string{nothing}, atLeast: .85}}, serial...),
		toolCell("txn-mixed-1000", "Transactions that read and that write, half and half, 1,000 clients", two, 1000,
			[]bar{{figure: throughput, against: []string{etcd}, atLeast: 2}}, mixed...),
	}
}

// rangedKeys is the one key that is read, and rangedKey its name.
var rangedKeys = load.Keys{Prefix: "range", Count: 1}

const rangedKey = "range0000000000"

// putRanged puts the key that is read.
func putRanged(ctx context.Context, c *cluster) error {
	target, err := c.dial(ctx, 1)
	if err != nil {
		return err
	}
	defer target.Close()
	return failure(load.Run(ctx, load.Plan{Clients: 1, Requests: 1, Timeout: requestBound}, target.Fill(rangedKeys, load.NewValues(valueBytes))))
}
