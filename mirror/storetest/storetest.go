// Package storetest holds one test of everything that package mirror promises of stores and readers, for every
// implementation, and starts the servers that some of them need. Only tests import it.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) mirror.Store { return open(t, t.TempDir()) })
//	}
package storetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// limit is above every object here but the large one.
const limit = 1 << 20

// Run tests a store. open returns an empty one each time it is called.
func Run(t *testing.T, open func(t *testing.T) mirror.Store) {
	RunReader(t, func(t *testing.T, objects []mirror.Object) mirror.Reader {
		s := open(t)
		for _, o := range objects {
			if err := s.Put(within(t), o); err != nil {
				t.Fatal(err)
			}
		}
		return s
	})
	for _, c := range []struct {
		name string
		test func(*testing.T, mirror.Store)
	}{
		{"put replaces", putReplaces},
		{"headers come back", headersComeBack},
		{"create keeps the first", createKeepsTheFirst},
		{"create compares identity bytes", createComparesIdentity},
		{"one of many creators wins", oneCreatorWins},
		{"many creators of the same bytes all succeed", sameBytesAllSucceed},
		{"a reader sees whole objects only", readerSeesWholeObjects},
		{"a large object", largeObject},
		{"list is in bytewise order", listIsOrdered},
		{"list can be left early", listCanBeLeft},
		{"delete is idempotent", deleteIsIdempotent},
		{"paths that no mirror has are refused", badPathsAreRefused},
		{"an ended context does nothing", endedContextDoesNothing},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// within bounds one test's work; it ends with the test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// object has the headers that most of a mirror's objects have.
func object(path, data string) mirror.Object {
	return mirror.Object{
		Path: path, Data: []byte(data),
		ContentType: "application/octet-stream", CacheControl: "public, max-age=31536000, immutable",
	}
}

// zipped gives an object its gzip form, as entry bundles have.
func zipped(t *testing.T, o mirror.Object, level int) mirror.Object {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(o.Data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o.Gzip = b.Bytes()
	return o
}

// noise returns n bytes that do not compress, the same in every run.
func noise(n int) []byte {
	data := make([]byte, n)
	src := rand.NewChaCha8([32]byte{})
	src.Read(data) // documented never to fail
	return data
}

func want(t *testing.T, r mirror.Reader, path string, data []byte) {
	t.Helper()
	got, err := r.Get(within(t), path, max(limit, int64(len(data))))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%s: got %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(data), data)
	}
}

func wantAbsent(t *testing.T, r mirror.Reader, path string) {
	t.Helper()
	if data, err := r.Get(within(t), path, limit); !mirror.IsAbsent(err) {
		t.Fatalf("%s: got %.40q and error %v, want absent", path, data, err)
	}
}

func put(t *testing.T, s mirror.Store, objects ...mirror.Object) {
	t.Helper()
	for _, o := range objects {
		if err := s.Put(within(t), o); err != nil {
			t.Fatal(err)
		}
	}
}

func wantList(t *testing.T, s mirror.Store, prefix string, paths ...string) {
	t.Helper()
	var got []string
	for path, err := range s.List(within(t), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, path)
	}
	if !slices.Equal(got, paths) {
		t.Fatalf("list of %q:\n got %q\nwant %q", prefix, got, paths)
	}
}
