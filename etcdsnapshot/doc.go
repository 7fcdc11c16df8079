// Package etcdsnapshot writes and reads snapshots in the form of etcd's own: a bbolt file, and at its end the SHA-256 of the rest. What
// etcdctl saves from Synod, etcdutl restores into etcd; what etcdctl saves from etcd, Synod restores.
//
// The form is etcd 3.7's (server/storage/schema in its source): a bucket "key" with a row for each version of a key, and small buckets
// for whatever else a member remembers.
package etcdsnapshot

import "encoding/binary"

// Buckets, and keys in them.
var (
	bucketKey            = []byte("key")
	bucketMeta           = []byte("meta")
	bucketCluster        = []byte("cluster")
	bucketLease          = []byte("lease")
	bucketMembers        = []byte("members")
	bucketMembersRemoved = []byte("members_removed")
	bucketAlarm          = []byte("alarm")
	bucketAuth           = []byte("auth")
	bucketAuthUsers      = []byte("authUsers")
	bucketAuthRoles      = []byte("authRoles")

	// buckets is every bucket that etcd expects in a file of its own.
	buckets = [][]byte{bucketKey, bucketMeta, bucketLease, bucketAlarm, bucketCluster, bucketMembers, bucketMembersRemoved,
		bucketAuth, bucketAuthUsers, bucketAuthRoles}

	metaIndex             = []byte("consistent_index")
	metaTerm              = []byte("term")
	metaConfState         = []byte("confState")
	metaStorageVersion    = []byte("storageVersion")
	metaFinishedCompact   = []byte("finishedCompactRev")
	metaScheduledCompact  = []byte("scheduledCompactRev")
	clusterClusterVersion = []byte("clusterVersion")
	authEnabled           = []byte("authEnabled")
	authRevision          = []byte("authRevision")
)

// revisionSize is the length of a revision as etcd writes it: main(8) '_' sub(8), big endian.
const revisionSize = 17

func revisionBytes(main int64) []byte {
	b := make([]byte, revisionSize)
	binary.BigEndian.PutUint64(b, uint64(main))
	b[8] = '_'
	return b
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
