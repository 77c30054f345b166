package policy

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// blockSize is how much text stands in one block, in bytes: some forty lines. A change copies its block and no other; a
// block costs a string's header.
const blockSize = 4096

// block is some consecutive lines of a list as policy.json holds them, each ending in a comma and a newline, the last
// of the list too. Its text is never empty and never changes, so that lists share what they have in common.
type block struct {
	text string
	n    int // lines
}

func (b block) first() string { return cutLine(b.text).name }

// line is one line taken apart. Its parts lie in the block.
type line struct {
	name   string
	policy string // as Policy.AppendJSON writes it
	size   int    // of the whole line, its newline counted
}

// cutLine takes the first line of a block's text apart, which only this package has written or verified.
func cutLine(text string) line {
	end := strings.IndexByte(text, '\n')
	name := 1 + strings.IndexByte(text[1:end], '"')
	return line{text[1:name], text[name+len(`":`) : end-len(",")], end + 1}
}

func appendLine(b []byte, e Entry) []byte {
	b = append(append(append(b, '"'), e.Domain.name...), `":`...)
	return append(e.Policy.AppendJSON(b), ",\n"...)
}

// cursor walks over the lines of blocks.
type cursor struct {
	blocks []block
	at     int // in the first block's text: where the next line begins
}

// peek returns the next line; ok is false at the end.
func (c *cursor) peek() (l line, ok bool) {
	if len(c.blocks) == 0 {
		return line{}, false
	}
	return cutLine(c.blocks[0].text[c.at:]), true
}

// take steps over the line that peek returned.
func (c *cursor) take(l line) {
	if c.at += l.size; c.at == len(c.blocks[0].text) {
		c.blocks, c.at = c.blocks[1:], 0
	}
}

// skipShared steps over the blocks that both have next. Those that two lists share are one string, and compared as such.
func (c *cursor) skipShared(d *cursor) {
	for c.at == 0 && d.at == 0 && len(c.blocks) > 0 && len(d.blocks) > 0 && c.blocks[0].text == d.blocks[0].text {
		c.blocks, d.blocks = c.blocks[1:], d.blocks[1:]
	}
}

// maxKnown bounds how many policies a reader of lines remembers. Most domains are with few providers.
const maxKnown = 4096

// policyReader decodes the policies of lines. One that many domains share is decoded once. The zero value is ready.
type policyReader struct{ known map[string]Policy }

func (r *policyReader) read(text string) Policy {
	p, ok := r.known[text]
	if ok {
		return p
	}
	p = decodePolicy(text)
	if r.known == nil {
		r.known = map[string]Policy{}
	}
	if len(r.known) < maxKnown {
		r.known[text] = p
	}
	return p
}

// decodePolicy reads what AppendJSON wrote. Names hold neither quotes nor commas.
func decodePolicy(text string) Policy {
	mode, mxs, _ := strings.Cut(strings.TrimPrefix(text, `{"mode":"`), `","mxs":[`)
	mxs = strings.TrimSuffix(mxs, "]}")
	var p Policy
	p.Mode, _ = ParseMode(mode)
	if mxs == "" {
		return p
	}
	p.MXs = make([]MXPattern, 0, 1+strings.Count(mxs, ","))
	for name := range strings.SplitSeq(mxs, ",") {
		p.MXs = append(p.MXs, MXPattern{name[1 : len(name)-1]})
	}
	return p
}

// builder makes blocks of lines that come in order. Where they are those of a list that is there already, it takes that
// list's blocks: it ends its own where those end.
type builder struct {
	like   []block // what comes of that list from the present line on
	blocks []block
	n      int    // lines in blocks
	buf    []byte // the block that is not full yet
	lines  int    // in buf
}

// add takes the line of the domain name, which ends in a comma and a newline.
func (b *builder) add(name string, line []byte) {
	for len(b.like) > 1 && b.like[1].first() <= name {
		b.flush()
		b.like = b.like[1:]
	}
	if len(b.buf)+len(line) > blockSize {
		b.flush()
	}
	b.buf = append(b.buf, line...)
	b.lines++
}

func (b *builder) flush() {
	if b.lines == 0 {
		return
	}
	next := block{n: b.lines}
	if len(b.like) > 0 && string(b.buf) == b.like[0].text {
		next.text = b.like[0].text
	} else {
		next.text = string(b.buf)
	}
	b.blocks, b.n = append(b.blocks, next), b.n+b.lines
	b.buf, b.lines = b.buf[:0], 0
}

func (b *builder) list() List {
	b.flush()
	return List{b.blocks, b.n}
}

// merge is the text of a block, "" for none, with edits, which belong there.
func merge(text string, edits []Edit) ([]byte, error) {
	out := make([]byte, 0, len(text)+len(edits)*128)
	var policy []byte
	for _, e := range edits {
		var old line
		for ; text != ""; text = text[old.size:] {
			if old = cutLine(text); old.name >= e.Domain.name {
				break
			}
			out = append(out, text[:old.size]...)
		}
		found := text != "" && old.name == e.Domain.name
		if e.Policy != nil {
			policy = e.Policy.AppendJSON(policy[:0])
		}
		switch {
		case e.Policy == nil && !found:
			return nil, errNotListed(e.Domain)
		case e.Policy != nil && found && string(policy) == old.policy:
			return nil, errNoEffect(e.Domain)
		case e.Policy != nil:
			out = appendLine(out, Entry{e.Domain, *e.Policy})
		}
		if found {
			text = text[old.size:]
		}
	}
	return append(out, text...), nil
}

// appendBlocks cuts text, which is whole lines, into blocks of about the same size.
func appendBlocks(blocks []block, text []byte) []block {
	for len(text) > 0 {
		end := len(text)
		if end > blockSize {
			pieces := (end + blockSize - 1) / blockSize
			end = cutAt(text, min(blockSize, end/pieces+blockSize/16))
		}
		piece := string(text[:end])
		blocks = append(blocks, block{piece, strings.Count(piece, "\n")})
		text = text[end:]
	}
	return blocks
}

// cutAt is the end of the last line that ends within size bytes, or of the first line if that is longer.
func cutAt(text []byte, size int) int {
	if n := bytes.LastIndexByte(text[:size], '\n'); n >= 0 {
		return n + 1
	}
	return size + 1 + bytes.IndexByte(text[size:], '\n')
}

// blockOf is the index of the block that has the domain name, or would have it: 0 also where there is no block.
func blockOf(blocks []block, name string) int {
	i, found := slices.BinarySearchFunc(blocks, name, func(b block, name string) int { return cmp.Compare(b.first(), name) })
	if !found {
		i--
	}
	return max(i, 0)
}
