package probe

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
)

// ReadSorted gives the lines of files, merged or of one vantage, to each, sorted by domain over all of them: so the shards
// of a scan are read as the whole. The line lasts until each returns. It needs memory for one line a file, and looks at no
// signature. Errors about a file wrap ErrEvidence; a domain that two files are about is such an error.
func ReadSorted(files []EvidenceFile, each func(*Reader, Line) error) error {
	if len(files) > maxMergedFiles {
		return fmt.Errorf("%w: %d files, the most is %d", ErrEvidence, len(files), maxMergedFiles)
	}
	queue, closeAll, err := openSorted(files)
	defer closeAll()
	if err != nil {
		return err
	}
	last := ""
	var of string
	for len(queue) > 0 {
		c := queue[0]
		if name := c.line.Domain.String(); name == last {
			return fmt.Errorf("%w: %s and %s are both about %s", ErrEvidence, of, c.name, name)
		}
		last, of = c.line.Domain.String(), c.name
		if err := each(c.reader, c.line); err != nil {
			return err
		}
		if err := queue.step(); err != nil {
			return err
		}
	}
	return nil
}

// openSorted opens all files at their first lines. closeAll is to be called in any case.
func openSorted(files []EvidenceFile) (queue sortedQueue, closeAll func(), err error) {
	var opened []io.Closer
	closeAll = func() {
		for _, c := range opened {
			c.Close()
		}
	}
	for _, f := range files {
		in, err := f.Open()
		if err != nil {
			return nil, closeAll, err
		}
		opened = append(opened, in)
		r, err := NewReader(in, MaxMerged)
		if err != nil {
			return nil, closeAll, fmt.Errorf("%s: %w", f.Name, err)
		}
		c := &sortedCursor{name: f.Name, reader: r}
		more, err := c.advance()
		if err != nil {
			return nil, closeAll, err
		}
		if more {
			queue = append(queue, c)
		}
	}
	heap.Init(&queue)
	return queue, closeAll, nil
}

// sortedCursor is a file and the line that it stands at.
type sortedCursor struct {
	name   string
	reader *Reader
	line   Line
}

func (c *sortedCursor) advance() (more bool, err error) {
	c.line, err = c.reader.Next()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.name, err)
	}
	return true, nil
}

// sortedQueue is a heap of files by the domains that they stand at.
type sortedQueue []*sortedCursor

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q sortedQueue) Len() int { return len(q) }
func (q sortedQueue) Less(i, k int) bool {
	return q[i].line.Domain.String() < q[k].line.Domain.String()
}
func (q sortedQueue) Swap(i, k int) { q[i], q[k] = q[k], q[i] }
func (q *sortedQueue) Push(x any)   { *q = append(*q, x.(*sortedCursor)) }
func (q *sortedQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// step moves the first file on by a line.
func (q *sortedQueue) step() error {
	more, err := (*q)[0].advance()
	switch {
	case err != nil:
		return err
	case more:
		heap.Fix(q, 0)
	default:
		heap.Pop(q)
	}
	return nil
}
