package mta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrCDB is wrapped when a constant database cannot hold what it is given.
var ErrCDB = errors.New("not to be held in a cdb")

const (
	cdbTables = 256               // hash tables, chosen by a hash's last byte
	cdbHeader = cdbTables * 2 * 4 // position and number of slots of each
	cdbSlot   = 2 * 4             // a record's hash and position; position 0 is an empty slot
	cdbFlush  = 1 << 18           // bytes collected before they are written
)

// CDB writes a constant database in D. J. Bernstein's format (cr.yp.to/cdb/cdb.txt), which Postfix, Exim and tinycdb
// read: a header, then all records, then 256 hash tables. It is written once, from front to back, and the header last,
// so a file cut short is a database without records or none at all: make it under another name and rename it.
//
// All numbers are 32 bits, little-endian, so the whole is smaller than 4 GiB; a list of a million domains takes about
// 120 MB. Keys are not checked for being unique: readers find the first. It is not for concurrent use.
type CDB struct {
	w     io.WriteSeeker
	buf   []byte // not written yet
	pos   uint64 // of the end of buf, from the start of the database
	slots []cdbRecord
	err   error // of the first failure; everything after it fails as well
}

// cdbRecord is what a hash table holds of a record.
type cdbRecord struct{ hash, pos uint32 }

// NewCDB starts a database at the beginning of w, which must be empty.
func NewCDB(w io.WriteSeeker) *CDB {
	return &CDB{w: w, buf: make([]byte, cdbHeader, cdbFlush+1<<12), pos: cdbHeader}
}

// Put adds a record. An error wraps ErrCDB or is the writer's; no database comes of it then.
func (c *CDB) Put(key, value []byte) error {
	if c.err != nil {
		return c.err
	}
	size := uint64(8 + len(key) + len(value))
	// What Close appends counts as well: two slots a record.
	if c.pos+size+2*cdbSlot*uint64(len(c.slots)+1) > math.MaxUint32 {
		c.err = fmt.Errorf("%w: it would be larger than 4 GiB", ErrCDB)
		return c.err
	}
	c.slots = append(c.slots, cdbRecord{cdbHash(key), uint32(c.pos)})
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(len(key)))
	c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(len(value)))
	c.buf = append(append(c.buf, key...), value...)
	c.pos += size
	return c.flush(cdbFlush)
}

// Close writes the hash tables and the header. The writer stays open.
func (c *CDB) Close() error {
	if c.err != nil {
		return c.err
	}
	header := make([]byte, 0, cdbHeader)
	for _, table := range c.tables() {
		header = binary.LittleEndian.AppendUint32(header, uint32(c.pos))
		header = binary.LittleEndian.AppendUint32(header, uint32(2*len(table)))
		c.appendTable(table)
		if c.flush(cdbFlush) != nil {
			return c.err
		}
	}
	if c.flush(1) != nil {
		return c.err
	}
	if _, c.err = c.w.Seek(0, io.SeekStart); c.err != nil {
		return c.err
	}
	if _, c.err = c.w.Write(header); c.err != nil {
		return c.err
	}
	c.err = fmt.Errorf("%w: it is closed", ErrCDB)
	return nil
}

// flush writes what was collected when it is at least so much.
func (c *CDB) flush(least int) error {
	if len(c.buf) >= least {
		_, c.err = c.w.Write(c.buf)
		c.buf = c.buf[:0]
	}
	return c.err
}

// tables sorts the records by table and keeps their order within one.
func (c *CDB) tables() [cdbTables][]cdbRecord {
	var counts [cdbTables]int
	for _, r := range c.slots {
		counts[r.hash%cdbTables]++
	}
	var tables [cdbTables][]cdbRecord
	room := make([]cdbRecord, len(c.slots))
	for i, n := range counts {
		tables[i], room = room[:0:n], room[n:]
	}
	for _, r := range c.slots {
		i := r.hash % cdbTables
		tables[i] = append(tables[i], r)
	}
	return tables
}

// appendTable appends one hash table: twice as many slots as records, each record in the first that is free from its
// hash's place on.
func (c *CDB) appendTable(records []cdbRecord) {
	n := 2 * len(records)
	start := len(c.buf)
	c.buf = append(c.buf, make([]byte, n*cdbSlot)...)
	slots := c.buf[start:]
	for _, r := range records {
		i := int(r.hash/cdbTables) % n
		for binary.LittleEndian.Uint32(slots[i*cdbSlot+4:]) != 0 {
			i = (i + 1) % n
		}
		binary.LittleEndian.PutUint32(slots[i*cdbSlot:], r.hash)
		binary.LittleEndian.PutUint32(slots[i*cdbSlot+4:], r.pos)
	}
	c.pos += uint64(len(slots))
}

func cdbHash(key []byte) uint32 {
	h := uint32(5381)
	for _, b := range key {
		h = h<<5 + h ^ uint32(b)
	}
	return h
}

// Lines returns a writer that puts one record for each line of a table's text, as postmap(1) does: comments and empty
// lines are none, a key ends at the first white space. So one text gives both forms, and they cannot differ:
//
//	Postfix(io.MultiWriter(text, cdb.Lines()), entries, options)
//
// Only whole lines count. A line that begins with white space, which would continue the one before, wraps ErrCDB.
func (c *CDB) Lines() io.Writer { return &cdbLines{c: c} }

type cdbLines struct {
	c    *CDB
	rest []byte // a line whose end has not come yet
}

func (l *cdbLines) Write(p []byte) (int, error) {
	text := p
	if len(l.rest) > 0 {
		text = append(l.rest, p...)
	}
	for {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		if !whole {
			break
		}
		if err := l.put(line); err != nil {
			return 0, err
		}
		text = rest
	}
	l.rest = append(l.rest[:0], text...)
	return len(p), nil
}

func (l *cdbLines) put(line []byte) error {
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	end := bytes.IndexAny(line, " \t")
	if end <= 0 {
		return fmt.Errorf("%w: the line %q has no key or no value", ErrCDB, line)
	}
	return l.c.Put(line[:end], bytes.TrimLeft(line[end:], " \t"))
}

// Buffer is a file in memory, for a CDB that goes where nobody can seek. The zero value is empty.
type Buffer struct {
	data []byte
	at   int
}

// Bytes is everything that was written, not a copy.
func (b *Buffer) Bytes() []byte { return b.data }

// Write implements io.Writer: it overwrites what is there and appends the rest.
func (b *Buffer) Write(p []byte) (int, error) {
	n := copy(b.data[b.at:], p)
	b.data = append(b.data, p[n:]...)
	b.at += len(p)
	return len(p), nil
}

// Seek implements io.Seeker, within what was written.
func (b *Buffer) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += int64(b.at)
	case io.SeekEnd:
		offset += int64(len(b.data))
	}
	if offset < 0 || offset > int64(len(b.data)) {
		return 0, fmt.Errorf("offset %d is outside of %d bytes", offset, len(b.data))
	}
	b.at = int(offset)
	return offset, nil
}
