package e2e

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// moodLength is how many requests are drawn in one mood.
const moodLength = 250

// mood is what a stretch of requests is mostly about. A history in which everything is always as likely never gets far with anything.
type mood struct {
	left    int
	weights [5]int // of keys, leases, users, watches, maintenance
}

// mixedGenerator makes requests of all services, for what users there are, with the tokens that both servers have given for the same login.
type mixedGenerator struct {
	*generator
	logins  []*login
	granted map[string]int // how many permissions a role may have

	mood   mood
	agenda []proto.Message // what is to come next
}

func newMixedGenerator(seed uint64) *mixedGenerator {
	return &mixedGenerator{generator: newGenerator(seed, true), granted: map[string]int{}}
}

func (g *mixedGenerator) next() request {
	if g.mood.left == 0 {
		g.change()
	}
	if len(g.agenda) > 0 {
		m := g.agenda[0]
		g.agenda = g.agenda[1:]
		return request{Message: m, as: g.latestOf("root")}
	}
	if g.enforced && g.latestOf("root") == nil {
		g.agenda = g.loginsOfRoot()
	}
	g.mood.left--
	r := g.draw()
	r.as = g.caller(r.Message)
	return r
}

// change draws a mood. Most begin without alarms, and with users enforced or not.
func (g *mixedGenerator) change() {
	g.mood.left = moodLength
	for i := range g.mood.weights {
		g.mood.weights[i] = []int{1, 3, 10}[g.IntN(3)]
	}
	g.mood.weights[0] *= 5
	if !g.oneIn(4) {
		g.agenda = append(g.agenda, g.disarm()...)
	}
	switch g.IntN(4) {
	case 0:
		g.agenda = append(g.agenda, g.release()...)
	case 1, 2:
		g.agenda = append(g.agenda, g.enforce()...)
	}
}

func (g *mixedGenerator) draw() request {
	n, weights := 0, g.mood.weights
	for _, w := range weights {
		n += w
	}
	kind, n := 0, g.IntN(n)
	for ; n >= weights[kind]; kind++ {
		n -= weights[kind]
	}
	switch kind {
	case 1:
		return request{Message: g.leaseRequest()}
	case 2:
		return request{Message: g.userRequest()}
	case 3:
		return request{Message: g.watchRequest(), slot: g.IntN(watchStreams)}
	case 4:
		return request{Message: g.maintenance()}
	}
	return g.generator.next()
}

// watchRequest is a request for a stream of watches: to begin a watch, to hear how far all are, to cancel one, or, if it asks for nothing, to end the stream.
func (g *mixedGenerator) watchRequest() *pb.WatchRequest {
	switch n := g.IntN(100); {
	case n < 65:
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: g.watch()}}
	case n < 75:
		return askProgress
	case n < 90:
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: g.Int64N(8) - 1}}}
	}
	return &pb.WatchRequest{}
}

func (g *mixedGenerator) watch() *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{PrevKv: g.bit(), ProgressNotify: g.oneIn(4), Fragment: g.oneIn(4), WatchId: max(0, g.Int64N(12)-8)}
	r.Key, r.RangeEnd = g.span()
	if g.bit() {
		r.StartRevision = max(g.near(), -1)
	}
	for _, filter := range []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE} {
		if g.oneIn(6) {
			r.Filters = append(r.Filters, filter)
		}
	}
	return r
}
