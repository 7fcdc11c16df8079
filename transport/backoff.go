package transport

import (
	"math/rand/v2"
	"time"
)

const (
	retryMin = 10 * time.Millisecond
	retryMax = time.Second
)

// backoff spaces the attempts to connect: the first again after some 10 ms, then twice as long each time, up to 1 s, each
// shortened by up to half at random so that members do not dial in step.
type backoff struct{ delay time.Duration }

// next returns how long to wait after an attempt that failed, or a connection that ended, after lived. Only one that
// lasted counts as a success: what breaks at once is not dialled again at once for ever.
func (b *backoff) next(lived time.Duration) time.Duration {
	if b.delay == 0 || lived > retryMax {
		b.delay = retryMin
	} else {
		b.delay = min(2*b.delay, retryMax)
	}
	return b.delay/2 + rand.N(b.delay/2)
}
