package synod_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strconv"
	"time"

	"synod.dev/synod"
	"synod.dev/synod/paxos"
)

// account is a replicated balance: a command must not be executed twice.
type account struct{ balance int }

// Apply adds each command to the balance and returns the new one.
func (a *account) Apply(commands []synod.Command) []any {
	var results []any
	for _, c := range commands {
		amount, _ := strconv.Atoi(string(c.Data))
		a.balance += amount
		results = append(results, strconv.Itoa(a.balance))
	}
	return results
}

func (a *account) Applied() paxos.Slot { return 0 }

// lossy is a way to a member on which every first answer is lost.
type lossy struct {
	node *synod.Node
	lost map[uint64]bool
}

func (l lossy) ProposeInSession(ctx context.Context, c synod.SessionCommand) ([]byte, error) {
	result, err := l.node.ProposeInSession(ctx, c)
	if c.Sequence > 0 && !l.lost[c.Sequence] {
		l.lost[c.Sequence] = true
		return nil, synod.ErrUnknown
	}
	return result, err
}

// A session executes a command once, however often its answer is lost.
func ExampleOpenSession() {
	dir, err := os.MkdirTemp("", "synod-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	node, err := synod.Open(synod.Config{ID: 1, Members: []synod.Member{{ID: 1}}, Dir: dir, Machine: &account{}, Sessions: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	session, err := synod.OpenSession(ctx, time.Hour, lossy{node, map[uint64]bool{}})
	if err != nil {
		log.Fatal(err)
	}
	for _, amount := range []string{"100", "-30"} {
		balance, err := session.Propose(ctx, []byte(amount))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("balance %s\n", balance)
	}
	// Output:
	// balance 100
	// balance 70
}
