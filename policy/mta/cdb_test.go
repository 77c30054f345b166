package mta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// cdbRead returns the values of key in the order in which a reader finds them, as cr.yp.to/cdb/cdb.txt has it: from the
// hash's slot on until an empty one.
func cdbRead(data []byte, key string) (values []string, err error) {
	number := func(at uint32) uint32 {
		if int64(at)+4 > int64(len(data)) {
			err = fmt.Errorf("the file ends before offset %d", at+4)
			return 0
		}
		return binary.LittleEndian.Uint32(data[at:])
	}
	h := uint32(5381)
	for i := range len(key) {
		h = (h << 5) + h
		h ^= uint32(key[i])
	}
	table, slots := number(h%256*8), number(h%256*8+4)
	for i := range slots {
		slot := table + (h/256+i)%slots*8
		at := number(slot + 4)
		if at == 0 || err != nil {
			break
		}
		if number(slot) != h {
			continue
		}
		klen, vlen := number(at), number(at+4)
		if rest := uint64(len(data)) - uint64(at) - 8; err != nil || uint64(klen)+uint64(vlen) > rest {
			return nil, fmt.Errorf("the record at %d goes beyond the file", at)
		}
		if record := data[at+8:]; string(record[:klen]) == key {
			values = append(values, string(record[klen:klen+vlen]))
		}
	}
	return values, err
}

// cdbOf makes a database of pairs, key and value in turn.
func cdbOf(t testing.TB, pairs ...string) []byte {
	t.Helper()
	var out Buffer
	c := NewCDB(&out)
	for i := 0; i < len(pairs); i += 2 {
		if err := c.Put([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The format's own example of one record, as tinycdb writes it.
func TestCDBOfOneRecord(t *testing.T) {
	data := cdbOf(t, "a.example", "secure match=mx")
	tail := "\x09\x00\x00\x00\x0f\x00\x00\x00a.examplesecure match=mx" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\xa2\x8d\xd4\x9e\x00\x08\x00\x00"
	if string(data[cdbHeader:]) != tail || len(data) != 2096 {
		t.Errorf("%d bytes, after the header %q", len(data), data[cdbHeader:])
	}
	if empty := cdbOf(t); len(empty) != cdbHeader {
		t.Errorf("an empty database has %d bytes", len(empty))
	}
}

func TestCDBFindsEveryKeyAndNoOther(t *testing.T) {
	l := many(t, 5000)
	var file Buffer
	c := NewCDB(&file)
	var text bytes.Buffer
	report, err := Postfix(io.MultiWriter(&text, c.Lines()), l.All(), Options{Dialect: Floor, Header: header})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	lines := table(t, text.String())
	if len(lines) != report.Emitted || report.Emitted == 0 {
		t.Fatalf("%d lines, %+v", len(lines), report)
	}
	for d := range l.All() {
		values, err := cdbRead(file.Bytes(), d.String())
		want, listed := lines[d.String()]
		if err != nil || listed != (len(values) == 1) || listed && values[0] != want {
			t.Fatalf("%s: %q, %v; the text has %q", d, values, err, want)
		}
	}
	for _, key := range []string{"", "#", "# end:", "d0000001.exampl", "d0000001.example ", ".example", "example"} {
		if values, err := cdbRead(file.Bytes(), key); err != nil || values != nil {
			t.Errorf("%q: %q, %v", key, values, err)
		}
	}
}

// However the text is cut into writes, the database is the same.
func TestCDBLinesInPieces(t *testing.T) {
	text, _ := render(t, example(t), Options{Dialect: Floor, Header: header})
	build := func(size int) []byte {
		var out Buffer
		c := NewCDB(&out)
		w := c.Lines()
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	whole := build(len(text))
	for _, size := range []int{1, 2, 7, 100} {
		if !bytes.Equal(build(size), whole) {
			t.Errorf("in pieces of %d bytes it comes out differently", size)
		}
	}
	for key, value := range table(t, text) {
		if got, err := cdbRead(whole, key); err != nil || len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
}

func TestCDBRefusesWhatIsNoLine(t *testing.T) {
	for _, text := range []string{" continued\n", "\tcontinued\n", "a.example\n", "a.example\x00\n"} {
		if _, err := io.WriteString(NewCDB(&Buffer{}).Lines(), text); !errors.Is(err, ErrCDB) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A database that would not fit is refused before anything wraps round: what Close appends counts as well.
func TestCDBTooLarge(t *testing.T) {
	c := NewCDB(nowhere{})
	c.pos = 1<<32 - 200
	var err error
	for i := 0; err == nil && i < 20; i++ {
		err = c.Put([]byte("key"), []byte("value"))
	}
	if !errors.Is(err, ErrCDB) || len(c.slots) != 6 {
		t.Errorf("after %d records: %v", len(c.slots), err)
	}
	if err := c.Close(); !errors.Is(err, ErrCDB) {
		t.Errorf("closed all the same: %v", err)
	}
}

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error)             { return len(p), nil }
func (nowhere) Seek(offset int64, _ int) (int64, error) { return offset, nil }

func TestCDBWriteErrorsComeBack(t *testing.T) {
	for _, room := range []int{0, cdbHeader, cdbFlush, 400_000} {
		c := NewCDB(&smallDisk{room: room})
		var err error
		for i := 0; err == nil && i < 10_000; i++ {
			err = c.Put(fmt.Appendf(nil, "d%d.example", i), []byte("secure match=mx.one.example"))
		}
		if err == nil {
			err = c.Close()
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
		if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("closed after a failure: %v", err)
		}
	}
	c := NewCDB(&Buffer{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Put([]byte("late"), nil); !errors.Is(err, ErrCDB) {
		t.Errorf("put after Close: %v", err)
	}
}

type smallDisk struct {
	Buffer
	room int
}

func (d *smallDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return d.Buffer.Write(p)
}

func TestBufferSeeks(t *testing.T) {
	var b Buffer
	io.WriteString(&b, "0123456789")
	for _, c := range []struct {
		offset int64
		whence int
		want   int64 // -1: refused
	}{{2, io.SeekStart, 2}, {-1, io.SeekEnd, 9}, {-3, io.SeekCurrent, 6}, {-1, io.SeekStart, -1}, {1, io.SeekEnd, -1}} {
		if got, err := b.Seek(c.offset, c.whence); err == nil != (c.want >= 0) || err == nil && got != c.want {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
	io.WriteString(&b, "abcdef")
	if got := string(b.Bytes()); got != "012345abcdef" {
		t.Error(got)
	}
}

// Whatever pairs are put, each is found under its key in the order of putting, and other keys are not.
func FuzzCDB(f *testing.F) {
	f.Add("a.example\x00secure match=mx\x00b.example\x00\x00a.example\x00second", "c.example")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, joined, other string) {
		pairs := strings.Split(joined, "\x00")
		pairs = pairs[:len(pairs)/2*2]
		want := map[string][]string{}
		for i := 0; i < len(pairs); i += 2 {
			want[pairs[i]] = append(want[pairs[i]], pairs[i+1])
		}
		data := cdbOf(t, pairs...)
		for _, key := range append([]string{other}, pairs...) {
			got, err := cdbRead(data, key)
			if err != nil || strings.Join(got, "\x00") != strings.Join(want[key], "\x00") || len(got) != len(want[key]) {
				t.Fatalf("%q: %q, %v; want %q", key, got, err, want[key])
			}
		}
	})
}
