package synod

import (
	"context"
	"time"
)

// Progress is when a command got how far, for tracing: before Applying it was on its way to being chosen, between Applying and Applied this node's state machine
// executed it, with others of its batch. Both are zero unless the command succeeded.
type Progress struct{ Applying, Applied time.Time }

type progressKey struct{}

// WithProgress returns a context with which Propose and ProposeFrom fill in p before they return.
func WithProgress(ctx context.Context, p *Progress) context.Context {
	return context.WithValue(ctx, progressKey{}, p)
}

// deliver hands an outcome to the caller who waits for it.
func (o outcome) deliver(ctx context.Context) (any, error) {
	if p, ok := ctx.Value(progressKey{}).(*Progress); ok {
		*p = o.progress
	}
	return o.result, o.err
}
