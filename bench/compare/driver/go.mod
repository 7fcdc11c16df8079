module synod.dev/synod/bench/compare/driver

go 1.26.0
