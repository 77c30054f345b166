package policy_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// numbered is a list of n domains: many with one of few providers, the rest with names of their own, some long.
func numbered(t testing.TB, n int) policy.List {
	t.Helper()
	entries := make([]policy.Entry, n)
	for i := range entries {
		name, mxs := fmt.Sprintf("d%06d.example", i), []string{fmt.Sprintf("mx.provider%d.example", i%7)}
		if i%3 == 0 {
			mxs = []string{".mail." + name, "mx." + name}
		}
		if i%97 == 0 {
			mxs = nil
			for m := range policy.MaxMXs {
				mxs = append(mxs, fmt.Sprintf("m%02d%s.%s", m, strings.Repeat(".l234567890", 21), name))
			}
		}
		entries[i] = entry(t, name, policy.Mode(1+i%2), mxs...)
	}
	l, err := policy.NewList(entries)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// randomEdits changes one in share of l and adds some: at the ends, in the middle, side by side.
func randomEdits(t *testing.T, l policy.List, rnd *rand.Rand, share int) []policy.Edit {
	t.Helper()
	var edits []policy.Edit
	for d, p := range l.All() {
		switch rnd.IntN(2 * share) {
		case 0:
			edits = append(edits, policy.Edit{Domain: d})
		case 1:
			next := entry(t, d.String(), policy.Mode(1+rnd.IntN(2)), fmt.Sprintf("mx%d.%s", rnd.IntN(100), d), "."+d.String()).Policy
			if !next.Equal(p) {
				edits = append(edits, policy.Edit{Domain: d, Policy: &next})
			}
		}
	}
	for range rnd.IntN(5) {
		e := entry(t, strings.Repeat("n", rnd.IntN(30))+fmt.Sprint(rnd.IntN(1000))+".example", policy.Enforce, "mx.example")
		same := func(x policy.Edit) bool { return x.Domain == e.Domain }
		if _, listed := l.Lookup(e.Domain); !listed && !slices.ContainsFunc(edits, same) {
			edits = append(edits, policy.Edit{Domain: e.Domain, Policy: &e.Policy})
		}
	}
	slices.SortFunc(edits, func(a, b policy.Edit) int { return strings.Compare(a.Domain.String(), b.Domain.String()) })
	return edits
}

// applied is what edits make of a list, in the simplest way.
func applied(l policy.List, edits []policy.Edit) []policy.Entry {
	all := map[policy.Domain]policy.Policy{}
	for d, p := range l.All() {
		all[d] = p
	}
	for _, e := range edits {
		if delete(all, e.Domain); e.Policy != nil {
			all[e.Domain] = *e.Policy
		}
	}
	var out []policy.Entry
	for d, p := range all {
		out = append(out, policy.Entry{Domain: d, Policy: p})
	}
	slices.SortFunc(out, func(a, b policy.Entry) int { return strings.Compare(a.Domain.String(), b.Domain.String()) })
	return out
}

// TestListIsItsEntries: through hundreds of releases, small lists and lists of many blocks are what their entries are, in
// every way in which they are looked at; and the list before stays as it was.
func TestListIsItsEntries(t *testing.T) {
	for _, c := range []struct{ domains, share, rounds int }{{0, 2, 300}, {700, 50, 60}, {700, 2, 5}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			l := numbered(t, c.domains)
			for i := range c.rounds {
				edits := randomEdits(t, l, rnd, c.share)
				want, file := applied(l, edits), fileOf(t, l)
				next, err := l.Apply(edits)
				if err != nil {
					t.Fatal(err)
				}
				sameList(t, next, want)
				if !bytes.Equal(fileOf(t, l), file) {
					t.Fatalf("round %d: the list before has changed", i)
				}
				sameChanges(t, l, next, edits)
				if l = next; i%100 == 99 {
					l = policy.List{}
				}
			}
		})
	}
}

func fileOf(t testing.TB, l policy.List) []byte {
	t.Helper()
	data, err := l.Bytes(header())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sameList(t *testing.T, l policy.List, want []policy.Entry) {
	t.Helper()
	if got := l.Entries(); l.Len() != len(want) || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("%d entries, Len is %d, want %d\n%v\n%v", len(got), l.Len(), len(want), got, want)
	}
	for _, e := range want {
		if p, ok := l.Lookup(e.Domain); !ok || !p.Equal(e.Policy) {
			t.Fatalf("%s: %v %v", e.Domain, p, ok)
		}
		if p, ok := l.Lookup(domain(t, "a"+e.Domain.String())); ok || p.MXs != nil {
			t.Fatalf("a%s is found", e.Domain)
		}
	}
	fresh, err := policy.NewList(slices.Clone(want))
	if err != nil || !fresh.Equal(l) || !l.Equal(fresh) || len(fresh.Diff(l)) > 0 {
		t.Fatalf("%v: the list of the same entries is another", err)
	}
	file := fileOf(t, l)
	var written bytes.Buffer
	size, digest, err := l.Write(&written, header())
	if err != nil || !bytes.Equal(written.Bytes(), file) || size != int64(len(file)) || digest != sha256.Sum256(file) {
		t.Fatalf("%v: %d bytes, digest %x", err, size, digest)
	}
	chunks, err := l.Chunks(header())
	if err != nil || strings.Join(chunks, "") != string(file) {
		t.Fatalf("%v: the chunks are not the file", err)
	}
	h, again, err := policy.ParseList(file)
	if err != nil || h != header() || !again.Equal(l) {
		t.Fatalf("%v: its file is another list", err)
	}
}

// sameChanges holds every way of comparing against the edits.
func sameChanges(t *testing.T, before, after policy.List, edits []policy.Edit) {
	t.Helper()
	changes := before.Diff(after)
	if len(changes) != len(edits) {
		t.Fatalf("%d changes of %d edits", len(changes), len(edits))
	}
	for i, c := range changes {
		old, listed := before.Lookup(c.Domain)
		if c.Domain != edits[i].Domain || (c.New == nil) != (edits[i].Policy == nil) || c.New != nil && !c.New.Equal(*edits[i].Policy) ||
			(c.Old != nil) != listed || listed && !c.Old.Equal(old) || c.Class == 0 {
			t.Fatalf("%+v of %+v", c, edits[i])
		}
	}
	if got := policy.Diff(before.Entries(), after.Entries()); !reflect.DeepEqual(got, changes) {
		t.Fatalf("by entries: %v", got)
	}
	if got := before.DiffEntries(after.Entries()); !reflect.DeepEqual(got, changes) {
		t.Fatalf("to entries: %v", got)
	}
	if before.Equal(after) != (len(edits) == 0) {
		t.Fatal("Equal sees no difference")
	}
	// Whatever list it is read beside, a file says the same.
	for _, like := range []policy.List{before, after, {}} {
		_, read, err := policy.ReadList(bytes.NewReader(fileOf(t, after)), like)
		if err != nil || !read.Equal(after) || !bytes.Equal(fileOf(t, read), fileOf(t, after)) || read.Len() != after.Len() {
			t.Fatalf("read beside another: %v", err)
		}
	}
}

// TestListsShare: the next list, applied or read beside the one before, takes memory for what changed and no more.
func TestListsShare(t *testing.T) {
	before := numbered(t, 20_000)
	file := fileOf(t, before)
	p := entry(t, "x.example", policy.Enforce, "mx.new.example").Policy
	edits := []policy.Edit{{Domain: domain(t, "d000001.example")}, {Domain: domain(t, "d010000.example"), Policy: &p}, {Domain: domain(t, "x.example"), Policy: &p}}
	after, err := before.Apply(edits)
	if err != nil {
		t.Fatal(err)
	}
	changed := fileOf(t, after)
	for name, make := range map[string]func() error{
		"apply": func() error { _, err := before.Apply(edits); return err },
		"diff":  func() error { before.Diff(after); return nil },
	} {
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		if err := make(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&end)
		if got := end.TotalAlloc - start.TotalAlloc; got > uint64(len(file)/20) {
			t.Errorf("%s: %d bytes for three changes of a list of %d", name, got, len(file))
		}
	}
	_, read, err := policy.ReadList(bytes.NewReader(changed), before)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, c := range must(before.Chunks(header())) {
		have[c] = true
	}
	own := 0
	for _, c := range must(read.Chunks(header())) {
		if !have[c] {
			own += len(c)
		}
	}
	if own > len(file)/20 {
		t.Errorf("read beside the list before, it has %d bytes of %d of its own", own, len(file))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestWriteRefuses: a header that cannot be published, and a writer that fails, whatever the list's size.
func TestWriteRefuses(t *testing.T) {
	h := header()
	h.Author = "né"
	for _, l := range []policy.List{{}, numbered(t, 3000)} {
		if _, err := l.Chunks(h); !errors.Is(err, policy.ErrList) {
			t.Error(err)
		}
		if _, _, err := l.Write(&bytes.Buffer{}, h); !errors.Is(err, policy.ErrList) {
			t.Error(err)
		}
		if _, _, err := l.Write(full{}, header()); !errors.Is(err, errFull) {
			t.Error(err)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
