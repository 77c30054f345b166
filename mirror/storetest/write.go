package storetest

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
)

func putReplaces(t *testing.T, s mirror.Store) {
	for _, data := range []string{"first", "second, longer", "3", "", "fifth", "fifth"} {
		put(t, s, object("policy.json", data))
		want(t, s, "policy.json", []byte(data))
	}
	put(t, s, zipped(t, object("policy.json", "zipped"), gzip.BestSpeed))
	want(t, s, "policy.json", []byte("zipped"))
	put(t, s, object("policy.json", "plain again"))
	want(t, s, "policy.json", []byte("plain again"))
	wantList(t, s, "", "policy.json")
}

// A store that has headers gives them back as they were written last; a folder has none.
func headersComeBack(t *testing.T, s mirror.Store) {
	h, ok := s.(mirror.HeaderReader)
	if !ok {
		t.Skip("it has no headers")
	}
	for _, path := range []string{"policy.json", "checkpoint", "tile/entries/000", "policy.json"} {
		o := mirror.NewTile(path, []byte(strings.Repeat("x", 1000)))
		put(t, s, o)
		data, got, err := h.GetHeaders(within(t), path, limit)
		if err != nil || string(data) != string(o.Data) || got != (mirror.Headers{ContentType: o.ContentType, CacheControl: o.CacheControl}) {
			t.Errorf("%s: %d bytes, %+v: %v", path, len(data), got, err)
		}
	}
	if _, _, err := h.GetHeaders(within(t), "trust/1", limit); !mirror.IsAbsent(err) {
		t.Errorf("an absent object: %v", err)
	}
}

func createKeepsTheFirst(t *testing.T, s mirror.Store) {
	first := object("trust/1", "first")
	for range 3 {
		if err := s.Create(within(t), first); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"other", "", "firs", "first ", strings.Repeat("first", 1000)} {
		if err := s.Create(within(t), object("trust/1", other)); !errors.Is(err, mirror.ErrConflict) {
			t.Errorf("create of %.20q over %q: %v, want ErrConflict", other, first.Data, err)
		}
		want(t, s, "trust/1", first.Data)
	}
	if err := s.Create(within(t), object("trust/2", "")); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(within(t), object("trust/2", "x")); !errors.Is(err, mirror.ErrConflict) {
		t.Errorf("create over an empty object: %v, want ErrConflict", err)
	}
	want(t, s, "trust/2", nil)
}

// Two gzip programs, or two versions of one, make different forms of the same entries.
func createComparesIdentity(t *testing.T, s mirror.Store) {
	plain := object("tile/entries/000", strings.Repeat("leaf\n", 1000))
	for _, o := range []mirror.Object{
		zipped(t, plain, gzip.BestCompression), zipped(t, plain, gzip.NoCompression), plain,
	} {
		if err := s.Create(within(t), o); err != nil {
			t.Fatal(err)
		}
		want(t, s, plain.Path, plain.Data)
	}
	other := zipped(t, object(plain.Path, strings.Repeat("fork\n", 1000)), gzip.BestCompression)
	if err := s.Create(within(t), other); !errors.Is(err, mirror.ErrConflict) {
		t.Errorf("other bytes, zipped: %v, want ErrConflict", err)
	}
	want(t, s, plain.Path, plain.Data)
}

func largeObject(t *testing.T, s mirror.Store) {
	const size = 10 << 20
	o := object("list/large.zst", string(noise(size)))
	if err := s.Create(within(t), o); err != nil {
		t.Fatal(err)
	}
	want(t, s, o.Path, o.Data)
	o.Data[size-1] ^= 1
	if err := s.Create(within(t), o); !errors.Is(err, mirror.ErrConflict) {
		t.Errorf("last bit flipped: %v, want ErrConflict", err)
	}
	put(t, s, o)
	want(t, s, o.Path, o.Data)
	z := zipped(t, object("tile/entries/large", string(o.Data)), gzip.BestSpeed)
	if err := s.Create(within(t), z); err != nil {
		t.Fatal(err)
	}
	want(t, s, z.Path, o.Data)
	if _, err := s.Get(within(t), o.Path, size-1); !errors.Is(err, mirror.ErrTooLarge) {
		t.Errorf("limit one byte short: %v, want ErrTooLarge", err)
	}
}

func listIsOrdered(t *testing.T, s mirror.Store) {
	wantList(t, s, "")
	// '-' and '.' sort before '/', letters behind it: a walk by folder names would get these wrong.
	sorted := []string{
		"a-b", "a.b", "a/-", "a/0", "a/b/c", "aa", "tile-x", "tile/0/000", "tile/0/000.p/1", "tile/0/x001/000",
		"tile/entries/000", "tile0", "x",
	}
	for i := range sorted { // neither in order nor in reverse
		put(t, s, object(sorted[i*5%len(sorted)], "x"))
	}
	wantList(t, s, "", sorted...)
	wantList(t, s, "a", sorted[:6]...)
	wantList(t, s, "a/", sorted[2:5]...)
	wantList(t, s, "a/b/c", "a/b/c")
	wantList(t, s, "tile/0/000", "tile/0/000", "tile/0/000.p/1")
	wantList(t, s, "tile/0/000.", "tile/0/000.p/1")
	wantList(t, s, "tile/1")
	wantList(t, s, "a/b/c/")
	wantList(t, s, "../")
}

func listCanBeLeft(t *testing.T, s mirror.Store) {
	var all []string
	for i := range 12 {
		all = append(all, fmt.Sprintf("trust/%02d", i))
		put(t, s, object(all[i], "x"))
	}
	n := 0
	for path, err := range s.List(within(t), "trust/") {
		if err != nil {
			t.Fatal(err)
		}
		if path != all[n] {
			t.Fatalf("path %d is %q", n, path)
		}
		if n++; n == 5 {
			break
		}
	}
	wantList(t, s, "trust/", all...)
}

func deleteIsIdempotent(t *testing.T, s mirror.Store) {
	put(t, s, object("evidence/a", "a"), object("evidence/b", "b"))
	for range 2 {
		for _, path := range []string{"evidence/a", "evidence", "evidence/b/c", "list/never"} {
			if err := s.Delete(within(t), path); err != nil {
				t.Errorf("delete %s: %v", path, err)
			}
		}
	}
	wantAbsent(t, s, "evidence/a")
	want(t, s, "evidence/b", []byte("b"))
	wantList(t, s, "", "evidence/b")
	if err := s.Create(within(t), object("evidence/a", "new")); err != nil {
		t.Errorf("create after delete: %v", err)
	}
	want(t, s, "evidence/a", []byte("new"))
}

func badPathsAreRefused(t *testing.T, s mirror.Store) {
	for _, path := range badPaths {
		for act, err := range map[string]error{
			"put":    s.Put(within(t), object(path, "x")),
			"create": s.Create(within(t), object(path, "x")),
			"delete": s.Delete(within(t), path),
		} {
			if !errors.Is(err, mirror.ErrPath) {
				t.Errorf("%s %q: %v, want ErrPath", act, path, err)
			}
		}
	}
	wantList(t, s, "")
}

func endedContextDoesNothing(t *testing.T, s mirror.Store) {
	put(t, s, object("checkpoint", "old"))
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	for act, err := range map[string]error{
		"put":    s.Put(ctx, object("checkpoint", "new")),
		"create": s.Create(ctx, object("trust/1", "new")),
		"delete": s.Delete(ctx, "checkpoint"),
	} {
		if err == nil {
			t.Errorf("%s did not fail", act)
		}
	}
	for path, err := range s.List(ctx, "") {
		if err == nil {
			t.Errorf("list yielded %q", path)
		}
	}
	wantList(t, s, "", "checkpoint")
	want(t, s, "checkpoint", []byte("old"))
}
