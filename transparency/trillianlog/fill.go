package trillianlog

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// Fill moves a log to Trillian: it hands the leaves of the folder dir that the server's tree does not have yet to the
// server, and returns the tree once both have the same. The server's tree must be empty, or the beginning of the log as
// an interrupted Fill leaves it: else ErrRoot. (Open takes a tree that is smaller than the folder's for one that has
// lost leaves.) The folder follows this tree from then on. Errors: Open's and Append's.
//
// The way back needs nothing: the folder is a tilelog at any time.
func Fill(ctx context.Context, dir string, o Options) (tlog.Tree, error) {
	l, err := open(dir, o, func(l *Log) error { return l.fill(ctx) })
	if err != nil {
		return tlog.Tree{}, err
	}
	tree := l.Tree()
	return tree, l.Close()
}

func (l *Log) fill(ctx context.Context) error {
	root, err := l.server.root(ctx)
	if err != nil {
		return err
	}
	size := l.Tree().N
	if root.N < size {
		if err := contains(l.local, root); err != nil {
			return err
		}
		if err := l.submit(ctx, root.N, size); err != nil {
			return err
		}
		if _, err := l.server.wait(ctx, root.N, size); err != nil {
			return err
		}
	}
	return l.follow(ctx)
}

// submit hands over the folder's leaves [from, to). A leaf that the server holds already must turn out to be the same
// when its root is compared.
func (l *Log) submit(ctx context.Context, from, to int64) error {
	var leaves [][]byte
	for leaf, err := range l.local.Leaves(from, to) {
		if err != nil {
			return err
		}
		leaves = append(leaves, leaf)
		if len(leaves) < addLeaves && from+int64(len(leaves)) < to {
			continue
		}
		if _, err := l.server.add(ctx, from, leaves); err != nil {
			return err
		}
		from, leaves = from+int64(len(leaves)), nil
	}
	return nil
}
