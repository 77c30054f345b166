// Package trillianlog is the log of package tilelog with the sequencing done elsewhere: by a Trillian log server and its
// signer, over whatever database the operator runs them on. Everything that is published and everything that is read
// comes from a local folder in tilelog's format, so both engines make the same bytes, and a log moves from one to the
// other with its folder.
//
//	l, err := trillianlog.Open(ctx, "state/log", trillianlog.Options{Address: "127.0.0.1:8090", Tree: 4711})
//	tree, err := l.Append(ctx, l.Tree().N, [][]byte{[]byte("next leaf")})
//
// The tree must be a PREORDERED_LOG: leaves keep the indexes that the release that names them has signed.
//
// # Trillian is not believed
//
// Append hands the leaves to the server, waits until the signer has integrated them, reads them back, compares them, and
// computes the tree from what was read with golang.org/x/mod/sumdb/tlog. Only when that tree has the root that Trillian
// states is it stored, and only a stored tree can be signed. A server that loses, changes or forgets leaves, or a
// database restored from an old backup, therefore stops the release with ErrLeaves, ErrRoot or ErrRewound; nothing was
// signed by then, and the folder is what it was.
//
// # What a crash leaves behind
//
// Leaves that the server has taken are in the log for good, stored here or not. Open and Append begin by following the
// server: leaves beyond the folder's tree are fetched, and their tree must have the server's root. So submitting the same
// leaves at the same indexes again is always safe, and an empty folder is filled from the server. What follows a lost
// answer, a kill or a full disk is the same call again.
//
// One promise is weaker than tilelog's: leaves of an Append that failed may become part of the log later. Leaves
// without a valid release behind them have no effect (schema/README.md).
//
// # One publisher
//
// The folder's lock keeps two publishers of one machine apart. Two machines that share a tree find the other's leaves
// at their indexes, and the slower one ends in ErrConflict.
package trillianlog
