package transport

import "testing"

func TestTakenFramesCountUntilTheyAreReleased(t *testing.T) {
	q := newQueue(2, 10)
	f := frame{payload: [][]byte{make([]byte, 4)}, bytes: 4}
	if q.put(f) {
		t.Error("a closed queue took a frame")
	}
	q.start()
	if !q.put(f) || !q.put(f) || len(q.take()) != 2 {
		t.Fatal("an open queue does not pass on two frames")
	}
	if q.put(f) {
		t.Error("a third frame was taken while two were being written")
	}
	q.release(1, 4)
	if !q.put(f) {
		t.Error("no frame was taken where one had been released")
	}
	q.release(1, 4)
	if q.put(frame{bytes: 7}) {
		t.Error("7 bytes were taken where 6 were free")
	}
	if frames, bytes := q.stop(); frames != 1 || bytes != 4 {
		t.Errorf("stopping dropped %d frames of %d bytes, want 1 of 4", frames, bytes)
	}
	q.start()
	if frames, bytes := q.size(); frames != 0 || bytes != 0 || len(q.take()) != 0 {
		t.Errorf("started again, it holds %d frames of %d bytes", frames, bytes)
	}
}
