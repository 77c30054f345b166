// Package witness asks witnesses to cosign checkpoints, as C2SP tlog-witness says.
//
// A witness remembers for each log the newest tree that it has cosigned, and cosigns another only when a consistency
// proof shows that nothing was taken back. So whoever holds a log's keys cannot keep two histories without a quorum of
// witnesses that help. One question is
//
//	POST <submission prefix>/add-checkpoint
//
//	old 4                                                    the tree that the witness knows
//	xBZe…=                                                   the consistency proof, one base64 hash a line
//
//	list.example/2026                                        the signed checkpoint
//	…
//
// and the answers mean:
//
//	200  signature lines; those of the key that the policy names count, whatever else stands there
//	409  with a size: another tree is known. Not above ours: asked again with a proof from there, for an answer that was
//	     lost on its way leaves the witness ahead of what we remember. Above ours: see Refusal
//	422  the proof leads to another history; also a 409 without a size: see Refusal
//	     anything else, too late, too long or elsewhere: no cosignature from this witness today
//
// Request and response are pure; Client is the shell around them.
package witness
