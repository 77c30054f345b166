package s3_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

// gateway starts versitygw and returns the options of the mirror below prefix.
func gateway(t *testing.T) (*storetest.VersityGW, func(prefix string) s3.Options) {
	t.Helper()
	g := storetest.StartVersityGW(t)
	return g, func(prefix string) s3.Options {
		o, err := s3.Parse(g.URL(prefix))
		if err != nil {
			t.Fatal(err)
		}
		o.Credentials = static(g)
		return o
	}
}

func open(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Pages of three keys make every list a walk over several of them.
func TestConformance(t *testing.T) {
	_, at := gateway(t)
	var n atomic.Int32
	storetest.Run(t, func(t *testing.T) mirror.Store {
		o := at(fmt.Sprintf("lists/%d", n.Add(1)))
		o.Page = 3
		return open(t, o)
	})
}

// Two mirrors in one bucket, one's prefix beginning like the other's, do not see each other.
func TestPrefixesAreApart(t *testing.T) {
	_, at := gateway(t)
	stores := map[string]*s3.Store{"": nil, "list": nil, "list2": nil}
	for prefix := range stores {
		stores[prefix] = open(t, at(prefix))
		put(t, stores[prefix], mirror.Object{Path: "checkpoint", Data: []byte(prefix)})
	}
	for prefix, s := range stores {
		if got := get(t, s, "checkpoint"); got != prefix {
			t.Errorf("%q holds %q", prefix, got)
		}
	}
	for path, err := range stores["list"].List(t.Context(), "") {
		if path != "checkpoint" || err != nil {
			t.Errorf("listed %q, %v", path, err)
		}
	}
}

// Content types and cache headers are part of the format: a browser and a log client get them without signing.
func TestHeadersAreStored(t *testing.T) {
	g, at := gateway(t)
	s := open(t, at("list"))
	leaves := bytes.Repeat([]byte("leaf\n"), 1000)
	o := mirror.Object{Path: "tile/entries/000", Data: leaves, Gzip: zipped(t, leaves),
		ContentType: "application/octet-stream", CacheControl: "public, max-age=31536000, immutable"}
	if err := s.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	put(t, s, mirror.Object{Path: "checkpoint", Data: []byte("note"), ContentType: "text/plain; charset=utf-8",
		CacheControl: "no-cache"})
	for path, want := range map[string][3]string{
		o.Path:       {"gzip", o.ContentType, o.CacheControl},
		"checkpoint": {"", "text/plain; charset=utf-8", "no-cache"},
	} {
		h := head(t, g, at("list"), path)
		if got := [3]string{h.Get("Content-Encoding"), h.Get("Content-Type"), h.Get("Cache-Control")}; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	stored, err := os.ReadFile(filepath.Join(g.Folder, "list", o.Path))
	if err != nil || !bytes.Equal(stored, o.Gzip) {
		t.Errorf("the store holds %d bytes, %v; want the %d of the gzip form", len(stored), err, len(o.Gzip))
	}
}

// A checksum trailer would stand in the stored bytes of stores that do not know it; no request may carry one.
func TestUploadsCarryNoChecksumTrailer(t *testing.T) {
	_, at := gateway(t)
	var seen atomic.Int32
	o, _ := through(t, at("list"), func(r *http.Request) act {
		seen.Add(1)
		for name := range r.Header {
			switch {
			case name == "X-Amz-Trailer", len(name) > 14 && name[:15] == "X-Amz-Checksum-":
				t.Errorf("%s %s has the header %s", r.Method, r.URL.Path, name)
			}
		}
		if r.Header.Get("Content-Encoding") == "aws-chunked" {
			t.Errorf("%s %s is sent in chunks", r.Method, r.URL.Path)
		}
		return pass
	})
	s := open(t, o)
	put(t, s, mirror.Object{Path: "checkpoint", Data: []byte("note")})
	if err := s.Create(t.Context(), mirror.Object{Path: "trust/1", Data: []byte("trust")}); err != nil {
		t.Fatal(err)
	}
	if seen.Load() < 4 {
		t.Errorf("only %d requests came by", seen.Load())
	}
}

// The gzip form decides what readers get, for ever: a wrong one is found before it is stored.
func TestWrongGzipFormIsRefused(t *testing.T) {
	_, at := gateway(t)
	s := open(t, at("list"))
	data := []byte("leaf\n")
	for name, form := range map[string][]byte{
		"other bytes":      zipped(t, []byte("fork\n")),
		"more bytes":       zipped(t, []byte("leaf\nleaf\n")),
		"no gzip":          data,
		"empty":            {},
		"cut short":        zipped(t, data)[:12],
		"trailing garbage": append(zipped(t, data), 0),
		"two members":      append(zipped(t, data), zipped(t, nil)...),
	} {
		o := mirror.Object{Path: "tile/entries/000", Data: data, Gzip: form}
		if s.Create(t.Context(), o) == nil || s.Put(t.Context(), o) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := s.Get(t.Context(), "tile/entries/000", 100); !mirror.IsAbsent(err) {
		t.Errorf("something was stored: %v", err)
	}
}

func put(t *testing.T, s *s3.Store, o mirror.Object) {
	t.Helper()
	if err := s.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *s3.Store, path string) string {
	t.Helper()
	data, err := s.Get(context.WithoutCancel(t.Context()), path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func static(g *storetest.VersityGW) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(g.AccessKey, g.SecretKey, "")
}
