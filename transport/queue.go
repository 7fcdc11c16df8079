package transport

import "sync"

// frame is one message on its way out.
type frame struct {
	payload [][]byte
	bytes   int // of the payload
}

// queue holds the frames for one peer in one class while there is a connection for them. Any goroutine
// may put; one takes.
type queue struct {
	maxFrames, maxBytes int
	ready               chan struct{} // holds a token while there may be something to take

	mu     sync.Mutex
	open   bool
	frames []frame // waiting to be taken
	spare  []frame // what frames will be after the next take
	depth  int     // frames waiting or taken and not yet released
	bytes  int     // their payload
}

func newQueue(maxFrames, maxBytes int) *queue {
	return &queue{maxFrames: maxFrames, maxBytes: maxBytes, ready: make(chan struct{}, 1)}
}

// put reports whether it has taken f.
func (q *queue) put(f frame) bool {
	q.mu.Lock()
	if !q.open || q.depth >= q.maxFrames || f.bytes > q.maxBytes-q.bytes {
		q.mu.Unlock()
		return false
	}
	q.frames = append(q.frames, f)
	q.depth++
	q.bytes += f.bytes
	first := len(q.frames) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return true
}

// take returns all waiting frames, in order. The slice is the caller's until the next take. The frames count
// against the bounds until they are released: they are still in memory.
func (q *queue) take() []frame {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.frames
	q.frames, q.spare = q.spare[:0], taken
	return taken
}

// release says that frames which had been taken are written.
func (q *queue) release(frames, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.depth -= frames
	q.bytes -= bytes
}

// start opens the queue, which is empty.
func (q *queue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
}

// stop closes the queue, drops all that was not released, and returns how much that was.
func (q *queue) stop() (frames, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames, bytes = q.depth, q.bytes
	q.open, q.frames, q.spare, q.depth, q.bytes = false, nil, nil, 0, 0
	return frames, bytes
}

// size returns how many frames and bytes of payload wait.
func (q *queue) size() (frames, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.depth, q.bytes
}
