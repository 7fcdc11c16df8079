package transport

import "testing"

// BenchmarkRoundTrip sends a frame of 100 bytes there and back, one at a time.
func BenchmarkRoundTrip(b *testing.B) {
	answered := make(chan struct{}, 1)
	started := make(chan *node, 1)
	near, far := pair(b, func(cfg *Config, r *recorder) {
		if cfg.Self.Node == 1 {
			r.receive = func(received) { answered <- struct{}{} }
			return
		}
		var self *node
		r.receive = func(f received) {
			if self == nil {
				self = <-started
			}
			self.Send(1, Control, f.payload)
		}
	})
	started <- far
	payload := make([]byte, 100)
	for b.Loop() {
		near.mustSend(b, 2, Control, payload)
		<-answered
	}
}

// BenchmarkThroughput streams frames of 300 bytes, with at most window of them under way.
func BenchmarkThroughput(b *testing.B) {
	const window, step = 8192, 1024
	credit := make(chan struct{}, window/step)
	arrived := 0
	near, _ := pair(b, func(cfg *Config, r *recorder) {
		r.receive = func(received) {
			if arrived++; arrived%step == 0 {
				credit <- struct{}{}
			}
		}
	})
	for range window / step {
		credit <- struct{}{}
	}
	header, record := make([]byte, 40), make([]byte, 260)
	b.SetBytes(int64(len(header) + len(record)))
	sent := 0
	for b.Loop() {
		if sent%step == 0 {
			<-credit
		}
		near.mustSend(b, 2, Replication, header, record)
		sent++
	}
	for range window/step - 1 {
		<-credit
	}
}
