package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
)

// auditMany audits several mirrors and returns what comparing them found, by code and mirror.
func auditMany(t *testing.T, code int, trust string, mirrors ...string) (found []string, evidence []string) {
	t.Helper()
	text := list(t, code, append([]string{"audit", "--json", "--trust", trust, "--evidence", t.TempDir()}, mirrors...)...)
	var out mirrorsReport
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&out); err != nil || len(out.Mirrors) != len(mirrors) {
		t.Fatalf("%v in %s", err, text)
	}
	for _, f := range out.Findings {
		found = append(found, f.Code+" "+f.File)
	}
	return found, out.Evidence
}

// Mirrors are compared: the same is nothing, an older one lags or is stuck, another history is a fork with evidence,
// whichever of the two is longer and whoever is named first.
func TestAuditComparesMirrors(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	trust := op.path("trust/1")
	first := op.copyPublic()
	twin := op.fork()
	op.release(3)
	second := op.copyPublic()
	if found, _ := auditMany(t, exitPass, trust, second, op.public()); len(found) != 0 {
		t.Errorf("two of the same: %v", found)
	}
	for _, order := range [][]string{{first, second}, {second, first}} {
		if found, _ := auditMany(t, exitPass, trust, order...); !slices.Equal(found, []string{audit.MirrorLags + " " + first}) {
			t.Errorf("one that lags: %v", found)
		}
	}
	op.now = op.now.Add(50 * time.Hour)
	op.release(0)
	if found, _ := auditMany(t, exitFail, trust, first, op.public()); !slices.Equal(found, []string{audit.MirrorStuck + " " + first}) {
		t.Errorf("one that is stuck: %v", found)
	}
	twin.now = twin.now.Add(time.Minute)
	twin.release(4)
	for _, order := range [][]string{{second, twin.public()}, {twin.public(), second}, {op.public(), twin.public()}} {
		found, evidence := auditMany(t, exitFork, trust, order...)
		if len(evidence) != 1 || len(found) != 1 || !strings.HasPrefix(found[0], audit.MirrorsFork) {
			t.Fatalf("a fork: %v, evidence %v", found, evidence)
		}
		confirms(t, evidence[0], op)
	}
	out := list(t, exitFork, "audit", first, second, twin.public(), "--trust", trust, "--evidence", t.TempDir())
	contains(t, out, audit.MirrorsFork, audit.MirrorLags, "two histories", "fork-")
	list(t, exitUsage, "audit", first, second, "--trust", trust, "--write", t.TempDir())
	list(t, exitUsage, "audit", "--trust", trust)
}

// Headers are part of the format: those of each kind of object are compared, and a kind is told once.
func TestAuditComparesHeaders(t *testing.T) {
	op := newOperator(t)
	op.release(3)
	right := func(path string) mirror.Headers {
		o := mirror.NewObject(path, nil)
		return mirror.Headers{ContentType: o.ContentType, CacheControl: o.CacheControl}
	}
	headerCodes := map[string]bool{}
	for _, c := range []struct {
		name, code, file string
		exit             int
		bend             func(path string, h *mirror.Headers)
	}{
		{"as the format says", "", "", exitPass, func(string, *mirror.Headers) {}},
		{"a stricter cache", "", "", exitPass, func(path string, h *mirror.Headers) {
			if mirror.IsMutable(path) {
				h.CacheControl = "no-store"
			}
		}},
		{"a cached pointer", audit.PointerCached, mirror.PointerPath, exitFail, func(path string, h *mirror.Headers) {
			if path == mirror.PointerPath {
				h.CacheControl = "public, max-age=3600"
			}
		}},
		{"no word about the checkpoint", audit.CacheControl, mirror.CheckpointPath, exitPass, func(path string, h *mirror.Headers) {
			if path == mirror.CheckpointPath {
				h.CacheControl = ""
			}
		}},
		{"a list kept for a day", audit.CacheControl, mirror.ListPath, exitPass, func(path string, h *mirror.Headers) {
			if path == mirror.ListPath {
				h.CacheControl = "max-age=86400"
			}
		}},
		{"tiles that are asked for again", audit.CacheControl, "tile/", exitPass, func(path string, h *mirror.Headers) {
			if strings.HasPrefix(path, "tile/") {
				h.CacheControl = "no-cache"
			}
		}},
		{"a checkpoint as a download", audit.ContentType, mirror.CheckpointPath, exitPass, func(path string, h *mirror.Headers) {
			if path == mirror.CheckpointPath {
				h.ContentType = "application/octet-stream"
			}
		}},
		{"a list as a page", audit.ContentType, mirror.ListPath, exitPass, func(path string, h *mirror.Headers) {
			if path == mirror.ListPath {
				h.ContentType = "text/html"
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := http.FileServer(http.Dir(op.public()))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				path := strings.TrimPrefix(r.URL.Path, "/")
				h := right(path)
				c.bend(path, &h)
				w.Header()["Content-Type"] = []string{h.ContentType}
				w.Header()["Cache-Control"] = []string{h.CacheControl}
				files.ServeHTTP(w, r)
			}))
			defer server.Close()
			found := auditJSON(t, c.exit, server.URL, op.path("trust/1")).Findings
			if c.code == "" && len(found) == 0 {
				return
			}
			if len(found) != 1 || found[0].Code != c.code || !strings.HasPrefix(found[0].File, c.file) {
				t.Errorf("found %+v", found)
			}
			headerCodes[c.code] = true
		})
	}
	for _, code := range []string{audit.PointerCached, audit.CacheControl, audit.ContentType} {
		if !headerCodes[code] {
			t.Errorf("nothing here leads to %s", code)
		}
	}
}

// Every list that was ever published comes out of the log again, byte for byte.
func TestAuditWritesEveryList(t *testing.T) {
	op := newOperator(t)
	published := map[int][]byte{}
	for i, n := range []int{0, 3, 0, 2} {
		op.release(n)
		data, err := os.ReadFile(filepath.Join(op.public(), mirror.ListPath))
		if err != nil {
			t.Fatal(err)
		}
		published[i+1] = data
	}
	out := filepath.Join(t.TempDir(), "lists")
	list(t, exitPass, "audit", op.public(), "--trust", op.path("trust/1"), "--write", out)
	if got := files(t, out); len(got) != len(published) {
		t.Errorf("%d lists, want %d", len(got), len(published))
	}
	for n, want := range published {
		got, err := os.ReadFile(filepath.Join(out, fmt.Sprintf("policy-%d.json", n)))
		if err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
			t.Errorf("release %d: %v, %d bytes, want %d", n, err, len(got), len(want))
		}
	}
}
