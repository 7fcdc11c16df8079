module synod.dev/synod

go 1.26
