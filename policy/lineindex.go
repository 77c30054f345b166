package policy

import (
	"sort"
	"strings"
)

// lineIndex turns byte offsets of a file into lines and columns.
type lineIndex struct {
	file   string
	starts []int // offset of the first byte of each line
}

func newLineIndex(file, text string) *lineIndex {
	starts := make([]int, 1, 1+strings.Count(text, "\n"))
	for at := 0; ; {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return &lineIndex{file, starts}
		}
		at += n + 1
		starts = append(starts, at)
	}
}

func (x *lineIndex) position(offset int) Position {
	line := sort.Search(len(x.starts), func(i int) bool { return x.starts[i] > offset })
	return Position{File: x.file, Line: line, Col: offset - x.starts[line-1] + 1}
}
