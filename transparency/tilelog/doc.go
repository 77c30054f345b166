// Package tilelog is an append-only Merkle log whose database is a folder of C2SP tlog-tiles files
// (https://c2sp.org/tlog-tiles) and whose engine is Trillian's: its log server takes the leaves and its sequencer
// computes the root, both in this process, over a storage.LogStorage that keeps nothing but tiles and entry bundles.
//
// A log's folder holds
//
//	root                 size and root hash of the log, the only file that ever changes its meaning
//	lock                 flock of the one process that has the log open
//	tmp/                 files on their way; emptied by Open
//	tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]
//
// Leaf indexes count from 0. A tree of size 0 has the hash of the empty string (RFC 6962 section 2.1).
//
//	l, err := tilelog.Open("state/log")
//	tree, err := l.Append(ctx, l.Tree().N, [][]byte{[]byte("first leaf")})
//	data, err := l.ReadFile("tile/0/000.p/1")
//
// # What a crash leaves behind
//
// The root file decides. It is replaced last, when every tile, bundle and folder it stands on has been fsynced and has
// been read back: the leaves hashed again, the tiles checked against the new root and the old root against the new one
// with golang.org/x/mod/sumdb/tlog, which shares no code with Trillian. A crash before the rename of the root file means
// that the append never happened: whatever it wrote lies beyond the root, is never served, and the next append over the
// same indexes overwrites it. A crash after the rename means that it did happen. The caller finds out by Tree, or by
// submitting the same leaves at the same indexes again, which is always safe.
//
// Everything that is read is checked against the root before it is returned, so a bit that flipped on the disk is an
// error (ErrCorrupt) here and never a published byte.
//
// A log whose leaves a Trillian server has sequenced (package trillianlog) grows by Extend instead of Append, and is the
// same folder afterwards.
//
// No time enters the log: the clock given to Trillian stands still, so that no wrong system clock can stop it.
package tilelog
