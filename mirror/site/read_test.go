package site

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
)

// story is three releases of a list: one domain that is strengthened, one that leaves, one that stays.
func story(t testing.TB) *operator {
	t.Helper()
	o := newOperator(t)
	o.publish(set("a.example", policy.Testing), set("gone.example", policy.Testing), set("stays.example", policy.Enforce))
	o.publish(set("a.example", policy.Enforce))
	o.publish(del("gone.example"))
	return o
}

func TestHistory(t *testing.T) {
	o := story(t)
	m := o.read(Extra{})
	var got []string
	for _, d := range m.Domains {
		for _, e := range d.Events {
			got = append(got, fmt.Sprintf("%s %d %s %s %s %d", e.Domain, e.Release, e.Op(), e.Class(), e.Reason, e.Index))
		}
	}
	want := []string{
		"a.example 1 set added add.owner 0", "a.example 2 set strengthened add.owner 4",
		"gone.example 1 set added add.owner 1", "gone.example 3 del removed remove.owner 6",
		"stays.example 1 set added add.owner 2",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	a, gone := m.Domains[0], m.Domains[1]
	if a.Added().Release != 1 || a.ModeSince().Release != 2 || gone.Policy() != nil || gone.ModeSince().Release != 3 {
		t.Errorf("%+v, %+v", a.ModeSince(), gone.ModeSince())
	}
	if len(m.Releases) != 3 || m.Newest().Index != 7 || m.List.Len() != 2 || !m.Cosignatures[0].Time.Equal(o.now) {
		t.Errorf("%+v, %d listed, %+v", m.Releases, m.List.Len(), m.Cosignatures)
	}
}

// A domain that comes back is on the list since then.
func TestHistoryOfAReturn(t *testing.T) {
	o := story(t)
	o.publish(set("gone.example", policy.Testing))
	d := o.read(Extra{}).Domains[1]
	if d.Added().Release != 4 || len(d.Events) != 3 {
		t.Errorf("%+v", d.Events)
	}
}

// Each fault of a mirror leaves no site.
func TestMirrorThatDoesNotVerify(t *testing.T) {
	for name, spoil := range map[string]func(o *operator){
		"pointer is gone":   func(o *operator) { delete(o.mirror.objects, mirror.PointerPath) },
		"pointer is none":   func(o *operator) { o.mirror.objects[mirror.PointerPath] = []byte("{}") },
		"no cosignature":    func(o *operator) { o.cosign = false; o.publish() },
		"entries are gone":  func(o *operator) { delete(o.mirror.objects, "tile/entries/000.p/8") },
		"entries are other": func(o *operator) { replace(o, "tile/entries/000.p/8", "mx.a.example", "mx.b.example") },
		"entries are cut":   func(o *operator) { o.mirror.objects["tile/entries/000.p/8"] = []byte{0} },
		"trust is other": func(o *operator) {
			o.rotate()
			replace(o, mirror.TrustPath(2), "version 2", "version 3")
		},
		"release is not valid": func(o *operator) {
			o.add([]byte("rubbish"))
			o.add(mirror.ChangeLeaf{Domain: set("x.example", policy.Testing).Domain, Reason: "remove.owner", Release: 4}.Append(nil))
			leaf := *o.last.Leaf
			leaf.Signatures = leaf.Signatures[:1]
			raw, err := leaf.Bytes()
			must(o.t, err)
			o.last.Raw = raw // signed, but its number is taken
			o.add(raw)
			o.upload()
		},
		"evidence is other": func(o *operator) {
			o.evidence = evidence
			o.publish()
			o.mirror.objects[mirror.EvidencePath(*o.last.Leaf.Evidence)][9] ^= 1
		},
	} {
		o := story(t)
		spoil(o)
		if m, err := Read(t.Context(), o.mirror, o.chain(), Extra{}); m != nil || !errors.Is(err, ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func replace(o *operator, path, old, new string) {
	o.t.Helper()
	data := bytes.ReplaceAll(o.mirror.objects[path], []byte(old), []byte(new))
	if bytes.Equal(data, o.mirror.objects[path]) {
		o.t.Fatalf("%s has no %q", path, old)
	}
	o.mirror.objects[path] = data
}

// A mirror that does not answer is another matter than one that is wrong.
func TestMirrorThatDoesNotAnswer(t *testing.T) {
	for _, path := range []string{mirror.PointerPath, mirror.TrustPath(2), "tile/entries/000.p/8", mirror.ReleasePath(2)} {
		o := story(t)
		o.mirror.fail = path
		if _, err := Read(t.Context(), o.mirror, o.chain(), Extra{}); !errors.Is(err, audit.ErrUnreachable) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Entries that no release claims are in no history, and are told of.
func TestEntriesWithoutEffect(t *testing.T) {
	o := story(t)
	o.add(mirror.ChangeLeaf{Domain: set("x.example", policy.Testing).Domain, Policy: set("x.example", policy.Testing).Policy, Reason: "add.owner", Release: 4}.Append(nil))
	o.add([]byte("rubbish"))
	o.publish(set("b.example", policy.Testing))
	folder := t.TempDir()
	for range 2 { // the second time from the cache
		m := o.read(Extra{Cache: folder})
		if len(m.Alarms) != 2 || len(m.Domains) != 4 || m.Domains[1].Name.String() != "b.example" {
			t.Errorf("%+v, %d domains", m.Alarms, len(m.Domains))
		}
	}
}

// With the cache a release costs the reading of its own entries, and the model is the same.
func TestCacheReadsWhatIsNew(t *testing.T) {
	o := newOperator(t)
	o.publish(many(600)...)
	folder := t.TempDir()
	o.read(Extra{Cache: folder})
	o.rotate()
	o.publish(set("d000007.example", policy.Enforce))
	o.mirror.got = map[string]int{}
	warm := o.read(Extra{Cache: folder})
	for path := range o.mirror.got {
		if strings.HasPrefix(path, "tile/entries/000") || strings.HasPrefix(path, "tile/entries/001") || path == mirror.ReleasePath(1) {
			t.Errorf("%s was read again", path)
		}
	}
	same(t, o, warm)
}

// same compares a model with the one that is made from the whole log.
func same(t *testing.T, o *operator, m *Model) {
	t.Helper()
	cold := o.read(Extra{})
	a, b := *cold, *m
	a.explain, b.explain = nil, nil
	one, two := *a.record, *b.record
	one.cached, two.cached = "", ""
	a.record, b.record = &one, &two
	if !reflect.DeepEqual(a, b) {
		t.Error("the model from the cache is another")
	}
}

// Whatever becomes of the cache, the model is right: at worst the log is read again.
func TestDamagedCache(t *testing.T) {
	o := story(t)
	folder := t.TempDir()
	path := filepath.Join(folder, cacheName)
	o.read(Extra{Cache: folder})
	sound, err := os.ReadFile(path)
	must(t, err)
	_, body, _ := bytes.Cut(sound, []byte("\n"))
	var cases [][]byte
	for i := 0; i < len(sound); i += 97 {
		broken := bytes.Clone(sound)
		broken[i] ^= 4
		cases = append(cases, broken, sound[:i])
	}
	// What a checksum cannot tell: other entries, no release marked valid, an invalid one marked so.
	for old, new := range map[string]string{"mx.a.example": "mx.b.example", `"valid":[3,5,7]`: `"valid":[7]`, `"valid":[3,5,`: `"valid":[3,4,`, `"size":8`: `"size":7`} {
		other := bytes.ReplaceAll(body, []byte(old), []byte(new))
		if bytes.Equal(other, body) {
			t.Fatalf("the cache has no %q", old)
		}
		cases = append(cases, withChecksum(other))
	}
	stranger := newOperator(t)
	stranger.publish(set("z.example", policy.Enforce))
	elsewhere := t.TempDir()
	stranger.read(Extra{Cache: elsewhere})
	foreign, err := os.ReadFile(filepath.Join(elsewhere, cacheName))
	must(t, err)
	for i, data := range append(cases, foreign) {
		must(t, os.WriteFile(path, data, 0o644))
		same(t, o, o.read(Extra{Cache: folder}))
		if t.Failed() {
			t.Fatalf("case %d", i)
		}
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, sound) {
		t.Errorf("the cache was not put right, %v", err)
	}
}

func TestCacheFolderThatCannotBe(t *testing.T) {
	o := story(t)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	if _, err := Read(t.Context(), o.mirror, o.chain(), Extra{Cache: filepath.Join(file, "x")}); err == nil || errors.Is(err, ErrUnverified) {
		t.Errorf("got %v", err)
	}
}

func FuzzCache(f *testing.F) {
	o := story(f)
	folder := f.TempDir()
	o.read(Extra{Cache: folder})
	sound, err := os.ReadFile(filepath.Join(folder, cacheName))
	must(f, err)
	_, body, _ := bytes.Cut(sound, []byte("\n"))
	f.Add(body)
	f.Add([]byte(`{"size":1,"valid":[0]}` + "\n\x00\x00"))
	trust := trustDigest(o.chain())
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseCache(withChecksum(body), trust)
		if err != nil {
			return
		}
		if log, err := r.fold(); err == nil && log.settle() == nil && int64(len(log.entries)) != log.releases[len(log.releases)-1].Index+1 {
			t.Error("a cache that does not end in a release")
		}
	})
}

const evidence = `{"files":[],"format":"policylist/evidence/v1","kind":"merged","quorum":2}
{"at":"2026-03-01T11:00:00Z","codes":["cert.expired"],"domain":"a.example","kind":"domain","seen":[` +
	`{"at":"2026-03-01T11:00:00Z","codes":["cert.expired"],"domain":"a.example","kind":"domain","observed":{"hosts":[{"name":"mx.a.example","sessions":[` +
	`{"address":"192.0.2.1","detail":"refused <script>alert(1)</script>\u001b[31m\u202e","greeting":{"code":220,"lines":["</code><img src=x onerror=alert(1)>","{{.}}"]},"stage":"starttls"},{"address":"192.0.2.2","stage":"done"}]}]},"since":"2026-02-28T09:00:00Z","vantage":"north","verdict":"fail"}],` +
	`"since":"2026-02-28T09:00:00Z","verdict":"fail"}
{"at":"2026-03-01T11:00:00Z","codes":[],"domain":"nobody.example","kind":"domain","seen":[],"since":"2026-02-28T09:00:00Z","verdict":"pass"}
{"files":[],"kind":"end"}
{"feedback":{"domains":[{"cells":{"certificate":"rare","ok":"most"},"domain":"a.example"}],"else":"insufficient data","format":"feedback/1","from":"2026-02-22","providers":[],"to":"2026-02-28"},"kind":"feedback","sha256":"00"}
`

func TestEvidence(t *testing.T) {
	o := story(t)
	o.evidence = evidence
	o.publish()
	o.evidence = ""
	o.publish() // a renewal without a scan
	m := o.read(Extra{})
	f, ok := m.Evidence.Findings["a.example"]
	if !ok || f.Verdict != "fail" || len(f.Codes) != 1 || len(f.Vantages) != 1 || m.Evidence.Release != 4 || len(m.Evidence.Findings) != 1 {
		t.Fatalf("%+v", m.Evidence)
	}
	want := []Trouble{{"mx.a.example", "192.0.2.1", "starttls", "refused <script>alert(1)</script>?[31m?", "220 </code><img src=x onerror=alert(1)> / {{.}}"}}
	if got := f.Vantages[0].Troubles; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if fb := m.Evidence.Feedback; fb == nil || fb.Domains["a.example"]["ok"] != "most" || fb.From != "2026-02-22" {
		t.Errorf("%+v", fb)
	}
	// Mirrors drop it after 90 days.
	delete(o.mirror.objects, mirror.EvidencePath(m.Evidence.Digest))
	if m := o.read(Extra{}); m.Evidence.Release != 0 {
		t.Errorf("%+v", m.Evidence)
	}
}

func FuzzEvidence(f *testing.F) {
	for line := range strings.Lines(evidence) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e := Evidence{Findings: map[string]Finding{}}
		if e.take(line, map[string]bool{"a.example": true}) != nil {
			return
		}
		for _, found := range e.Findings {
			if _, err := time.Parse(policy.TimeFormat, found.Since); found.Since != "" && err != nil || len(found.Codes) > maxCodes || len(found.Vantages) > maxVantages {
				t.Errorf("%+v", found)
			}
		}
	})
}

// A cache that has all is not written again.
func TestCacheStays(t *testing.T) {
	o := story(t)
	folder := t.TempDir()
	path := filepath.Join(folder, cacheName)
	o.read(Extra{Cache: folder})
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, os.Chtimes(path, old, old))
	o.read(Extra{Cache: folder})
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("it was written again, %v", err)
	}
	o.publish()
	o.read(Extra{Cache: folder})
	if info, err := os.Stat(path); err != nil || info.ModTime().Equal(old) {
		t.Errorf("it was not written, %v", err)
	}
}

func FuzzPending(f *testing.F) {
	f.Add([]byte(held))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePending(data)
		if err != nil || p == nil {
			return
		}
		for _, h := range p.Held {
			if _, err := policy.ParseDomain(h.Domain); err != nil || h.Codes == nil || h.Findings == nil || len(p.of(h.Domain)) == 0 {
				t.Errorf("%+v", h)
			}
		}
	})
}

func TestPending(t *testing.T) {
	o := story(t)
	good := `{"held":[{"domain":"z.example","class":"added","codes":["gate.waiting"],"findings":[],"since":"2026-03-01T12:00:00Z","until":"2026-03-15T12:00:00Z"},{"domain":"a.example","class":"removed","codes":[],"findings":[],"later":1}],"ready":[]}`
	m := o.read(Extra{Pending: []byte(good)})
	if h := m.Pending.of("z.example"); len(h) != 1 || h[0].Until != "2026-03-15T12:00:00Z" || len(m.Pending.of("b.example")) != 0 {
		t.Errorf("%+v", m.Pending)
	}
	for _, bad := range []string{"", "[]", "{}", `{"held":[{"domain":"A.example"}]}`, `{"held":[{"domain":"a.example","since":"today"}]}`} {
		if _, err := Read(t.Context(), o.mirror, o.chain(), Extra{Pending: []byte(bad)}); !errors.Is(err, ErrExtra) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
