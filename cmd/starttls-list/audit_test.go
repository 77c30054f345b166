package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// audited is what audit --json prints.
type audited struct {
	audit.Report
	PerSecond int64  `json:"entries_per_second"`
	Error     string `json:"error"`
}

func auditJSON(t *testing.T, code int, dir, trust string) audited {
	t.Helper()
	var out audited
	text := list(t, code, "audit", "--json", dir, "--trust", trust)
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}

// damage is one thing that can be wrong with a mirror.
type damage struct {
	code string
	file string // that the finding is about, "" for any
	do   func(t *testing.T, op *operator, dir string)
}

func removing(name string) func(*testing.T, *operator, string) {
	return func(t *testing.T, _ *operator, dir string) { remove(t, firstMatch(t, dir, name)) }
}

func flipping(name string) func(*testing.T, *operator, string) {
	return func(t *testing.T, _ *operator, dir string) { flip(t, firstMatch(t, dir, name)) }
}

// replacing overwrites one object with another.
func replacing(name, with string) func(*testing.T, *operator, string) {
	return func(t *testing.T, _ *operator, dir string) {
		data, err := os.ReadFile(firstMatch(t, dir, with))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, filepath.FromSlash(name)), data)
	}
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// damages has every code of the audit.
func damages() []damage {
	return []damage{
		{audit.TrustMissing, "trust/1", removing("trust/1")},
		{audit.TrustInvalid, "trust/1", flipping("trust/1")},
		{audit.TrustInvalid, "trust/2", replacing("trust/2", "trust/1")},
		{audit.TrustNotLogged, "trust/2", addTrust},
		{audit.PointerMissing, mirror.PointerPath, removing(mirror.PointerPath)},
		{audit.PointerInvalid, mirror.PointerPath, flipping(mirror.PointerPath)},
		{audit.CheckpointLost, mirror.CheckpointPath, removing(mirror.CheckpointPath)},
		{audit.CheckpointOther, mirror.CheckpointPath, flipping(mirror.CheckpointPath)},
		{audit.EntriesMissing, "tile/entries/000", removing("tile/entries/000")},
		{audit.EntriesMissing, "tile/entries/001.p/53", removing("tile/entries/001.p/53")},
		{audit.EntriesMismatch, "tile/entries/000", flipping("tile/entries/000")},
		{audit.EntriesMismatch, "tile/entries/001.p/53", flipping("tile/entries/001.p/53")},
		{audit.TileMissing, "tile/0/000", removing("tile/0/000")},
		{audit.TileMissing, "tile/1/000.p/1", removing("tile/1/000.p/1")},
		{audit.TileMissing, "tile/0/001.p/51", removing("tile/0/001.p/51")},
		{audit.TileMismatch, "tile/0/000", flipping("tile/0/000")},
		{audit.TileMismatch, "tile/1/000.p/1", flipping("tile/1/000.p/1")},
		{audit.TileMismatch, "tile/0/001.p/51", flipping("tile/0/001.p/51")},
		{audit.RootMismatch, mirror.CheckpointPath, rewriteHistory},
		{audit.LeafNoEffect, "tile/entries/001.p/53", nil}, // the log itself has one
		{audit.TailInvalid, mirror.CheckpointPath, signRubbish},
		{audit.ReleaseMissing, "release/1.tlog-proof", removing("release/1.tlog-proof")},
		{audit.ReleaseInvalid, "release/1.tlog-proof", flipping("release/1.tlog-proof")},
		{audit.ReleaseInvalid, "release/1.tlog-proof", replacing("release/1.tlog-proof", "release/2.tlog-proof")},
		{audit.ListMissing, "", removing("list/*.zst")},
		{audit.ListMismatch, "", flipping("list/*.zst")},
		{audit.EvidenceMissing, "", removing("evidence/*")},
		{audit.EvidenceMismatch, "", flipping("evidence/*")},
		{audit.PolicyMissing, mirror.ListPath, removing(mirror.ListPath)},
		{audit.PolicyMismatch, mirror.ListPath, flipping(mirror.ListPath)},
		{audit.BundleInvalid, mirror.ListBundlePath, flipping(mirror.ListBundlePath)},
		{audit.KeylessInvalid, mirror.ListKeylessPath, replacing(mirror.ListKeylessPath, mirror.ListBundlePath)},
		{audit.Unexpected, "list/new.zst", replacing("list/new.zst", "list/*.zst")},
		{audit.Unexpected, "tile/0/000.p/9", replacing("tile/0/000.p/9", "tile/0/000.p/6")},
	}
}

// A good mirror is clean; each kind of damage is found, by its code and at its place.
func TestAuditFindsDamage(t *testing.T) {
	op := newOperator(t)
	op.release(0)   // 6 entries
	op.release(300) // 307 entries
	if r := auditJSON(t, 0, op.public(), op.path("trust/1")); len(r.Findings) != 0 || r.Replayed != 307 || r.Releases != 2 || r.Release != 2 {
		t.Fatalf("a good mirror: %+v", r)
	}
	op.abandon([]byte("rubbish"))
	op.release(0) // 309 entries
	seen := map[string]bool{}
	for _, d := range damages() {
		name := d.code + " " + strings.ReplaceAll(d.file, "/", "_")
		t.Run(name, func(t *testing.T) {
			seen[d.code] = true
			dir := op.copyPublic()
			if d.do != nil {
				d.do(t, op, dir)
			}
			i := slices.IndexFunc(audit.Codes(), func(c policy.Code) bool { return c.ID == d.code })
			code := exitFail
			if audit.Codes()[i].Severity == policy.Warning {
				code = exitPass
			}
			r := auditJSON(t, code, dir, op.path("trust/1"))
			if !slices.ContainsFunc(r.Findings, func(f policy.Finding) bool { return f.Code == d.code && (d.file == "" || f.File == d.file) }) {
				t.Errorf("found %+v", r.Findings)
			}
			for _, f := range r.Findings {
				if f.Code != d.code && f.Code != audit.LeafNoEffect && d.code != audit.RootMismatch && d.code != audit.TailInvalid {
					t.Errorf("also found %s at %s: %s", f.Code, f.File, f.Summary)
				}
			}
		})
	}
	for _, c := range audit.Codes() {
		// Those of headers and of several mirrors have tests of their own, in audit_mirrors_test.go.
		elsewhere := []string{audit.ContentType, audit.CacheControl, audit.PointerCached, audit.MirrorLags, audit.MirrorStuck, audit.MirrorsFork}
		if !seen[c.ID] && strings.HasPrefix(c.ID, "audit.") && !slices.Contains(elsewhere, c.ID) {
			t.Errorf("nothing here leads to %s", c.ID)
		}
	}
}

// abandon appends an entry that no release claims, as an attempt does that is given up.
func (o *operator) abandon(entry []byte) {
	o.t.Helper()
	l, err := o.p.OpenLog(o.path("state/log"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(o.t.Context(), l.Tree().N, [][]byte{entry}); err != nil {
		o.t.Fatal(err)
	}
}

// addTrust uploads a second trust version, under which nothing was released yet.
func addTrust(t *testing.T, op *operator, dir string) {
	put(t, filepath.Join(dir, "trust/2"), op.nextTrust(op.p.Trust.Newest().Expires).Note())
}

// nextTrust is a version 2 with the same keys.
func (o *operator) nextTrust(expires time.Time) *transparency.Trust {
	o.t.Helper()
	return o.nextTrustWith(expires, o.p.Trust.Newest().Witnesses.String())
}

// nextTrustWith also has another witness policy, in C2SP tlog-policy lines.
func (o *operator) nextTrustWith(expires time.Time, policy string) *transparency.Trust {
	o.t.Helper()
	return o.signedTrust(o.p.Trust.Newest().Version+1, expires, policy)
}

// signedTrust is a version with the keys of the newest.
func (o *operator) signedTrust(version int64, expires time.Time, policy string) *transparency.Trust {
	o.t.Helper()
	old := o.p.Trust.Newest()
	witnesses, err := transparency.ParseWitnessPolicy(policy)
	if err != nil {
		o.t.Fatal(err)
	}
	next, err := transparency.NewTrust(version, expires, old.RootK, old.RootVKeys(), old.ReleaseK, old.ReleaseKeys(), old.LogVKey(), witnesses)
	if err != nil {
		o.t.Fatal(err)
	}
	key, _, err := signing.Load(o.path(pipeline.RootKeyFile), passwordSource("", nil, io.Discard))
	if err != nil {
		o.t.Fatal(err)
	}
	name, _, _ := strings.Cut(old.RootVKeys()[0], "+")
	var root note.Signer
	if root, err = key.NoteSigner(name); err == nil {
		_, err = next.Sign(root)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return next
}

// rewriteHistory changes an entry and every tile above it, as a mirror can that has no key: only the root tells.
func rewriteHistory(t *testing.T, _ *operator, dir string) {
	path := filepath.Join(dir, "tile/entries/000")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), "mx.d", "mx.e", 1)
	put(t, path, []byte(changed))
	entries, err := transparency.ParseBundle([]byte(changed), transparency.TileWidth)
	if err != nil {
		t.Fatal(err)
	}
	var hashes []tlog.Hash
	for _, e := range entries {
		hashes = append(hashes, tlog.RecordHash(e))
	}
	put(t, filepath.Join(dir, "tile/0/000"), transparency.AppendHashes(nil, hashes...))
	root := transparency.SubtreeRoot(hashes)
	put(t, filepath.Join(dir, "tile/1/000.p/1"), root[:])
}

// signRubbish is what a thief of the log's key can do: the checkpoint covers an entry that is no release. No client
// takes it for a pointer, and the audit says why the log is not well.
func signRubbish(t *testing.T, op *operator, dir string) {
	twin := op.fork()
	twin.abandon([]byte("rubbish at the end"))
	l, err := twin.p.OpenLog(twin.path("state/log"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range mirror.TilePaths(l.Tree().N-1, l.Tree().N) {
		data, err := l.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, filepath.FromSlash(path)), data)
	}
	note, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: op.p.Trust.Newest().Origin, Tree: l.Tree()}, op.p.Keys.Log)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, mirror.CheckpointPath), note)
	remove(t, filepath.Join(dir, mirror.PointerPath))
}

// An auditor who begins with a later trust version than the log does cannot judge its beginning, and is told so.
func TestAuditNeedsTheFirstTrust(t *testing.T) {
	op := newOperator(t)
	op.release(0)
	next := op.nextTrust(op.p.Trust.Newest().Expires)
	put(t, op.path("trust/2"), next.Note())
	op = openOperator(t, op.dir, op.now)
	op.release(0)
	r := auditJSON(t, 0, op.public(), op.path("trust/1"))
	if r.Trust != 2 || r.Releases != 2 || len(r.Findings) != 0 {
		t.Errorf("after a rotation: %+v", r)
	}
	if out := list(t, exitUsage, "audit", op.public(), "--trust", op.path("trust/2")); !strings.Contains(out, "trust/1") {
		t.Errorf("no word on which version to give: %s", out)
	}
	dst := t.TempDir()
	list(t, 0, "mirror", op.public(), dst, "--fingerprint", fmt.Sprintf("%x", next.Digest()))
	same(t, op.public(), dst)
}
