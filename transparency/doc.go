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
//	chain, _ := OpenTrust(text)                        // whose keys count
//	proof, _ := ParseProof(data)                       // index, path, checkpoint
//	cp, _ := chain.OpenCheckpoint(proof.Checkpoint)    // log signature and witnesses
//	err := proof.Check(tlog.RecordHash(leaf), cp.Tree) // the leaf is in that tree
package transparency
