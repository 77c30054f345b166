// Package transparency is the mathematics of the log: entries and tiles, checkpoints, proofs, cosignatures and the
// trust that says whose signatures count. It is pure: bytes and values in, verdicts out. It knows no clock, no
// network, no files, and not what a mail domain is.
//
// The formats are those of C2SP (tlog-tiles, tlog-checkpoint, tlog-cosignature/v1, tlog-proof, tlog-policy); hashes
// are RFC 6962 Merkle trees over SHA-256, computed by golang.org/x/mod/sumdb/tlog; signed notes by
// golang.org/x/mod/sumdb/note.
//
// One verification, from the outside in:
//
//	trust, err := ParseTrust(note)                            // whose keys count, once trust.Digest() is the fingerprint
//	chain, err := NewTrustChain(trust)                        // its roots signed it; chain.Extend(next) follows a rotation
//	proof, err := ParseProof(data)                            // index, path, checkpoint
//	cp, err := chain.Newest().OpenCheckpoint(proof.Checkpoint) // log signature and witnesses
//	err = proof.Check(tlog.RecordHash(leaf), cp.Tree)         // the leaf is in that tree
//
// Example does that with a test vector.
package transparency
