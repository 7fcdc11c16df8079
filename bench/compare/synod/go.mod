module synod.dev/synod/bench/compare/synod

go 1.26.0

replace (
	synod.dev/synod => ../../..
	synod.dev/synod/bench/compare/driver => ../driver
)

require (
	synod.dev/synod v0.0.0-00010101000000-000000000000
	synod.dev/synod/bench/compare/driver v0.0.0-00010101000000-000000000000
)

require golang.org/x/sys v0.49.0 // indirect
