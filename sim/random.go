package sim

import (
	"hash/fnv"
	"math/rand/v2"
)

// splitmix is the mixing function of SplitMix64 (Steele et al., 2014).
func splitmix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// derive returns the generator of one component of a world: another draw in one does not change what the others draw.
func derive(seed uint64, tag string, number int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(tag))
	a := splitmix(seed ^ h.Sum64())
	return rand.New(rand.NewPCG(a, splitmix(a+uint64(number))))
}

// oneIn reports true once in n times; never if n is 0.
func oneIn(r *rand.Rand, n int) bool { return n > 0 && r.IntN(n) == 0 }

// perMille reports true in p of 1,000 times.
func perMille(r *rand.Rand, p int) bool { return p > 0 && r.IntN(1000) < p }

// around returns an exponentially distributed time with the given mean, at most ten times that.
func around(r *rand.Rand, mean int64) int64 {
	return min(int64(r.ExpFloat64()*float64(mean)), 10*mean)
}

// pick returns one of several.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
