package pipeline_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

var vantageNames = []string{"north", "south", "west"}

func vantageKey(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{name[0]}, ed25519.SeedSize))
}

// vantagePoints are an operator's probing hosts, which say on paper what a test wants.
type vantagePoints struct {
	*operator
	entries []policy.Entry
	says    func(vantage string, e policy.Entry) (verdict, code string) // "" for nothing at all
	started time.Time
	ahead   map[string]time.Duration // vantages whose clocks are
}

// newVantagePoints names three vantages in list.json, with that quorum, and makes all of them find everything in order.
func newVantagePoints(t *testing.T, quorum int) *vantagePoints {
	t.Helper()
	v := &vantagePoints{operator: newOperator(t, "public")}
	v.quorum(quorum)
	checked, err := pipeline.Check(t.Context(), v.Source)
	if err != nil || policy.HasErrors(checked.Findings()) {
		t.Fatalf("%v %v", err, checked.Findings())
	}
	v.entries = checked.Entries()
	v.says = func(string, policy.Entry) (string, string) { return "pass", "" }
	v.started = v.now
	v.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return v.files(vantageNames...), nil }
	return v
}

func (v *vantagePoints) quorum(n int) {
	v.t.Helper()
	path := v.path("list/list.json")
	text, err := os.ReadFile(path)
	var settings map[string]any
	if err = errors.Join(err, json.Unmarshal(text, &settings)); err != nil {
		v.t.Fatal(err)
	}
	var vantages []map[string]string
	for _, name := range vantageNames {
		key := vantageKey(name).Public().(ed25519.PublicKey)
		vantages = append(vantages, map[string]string{"name": name, "key": base64.StdEncoding.EncodeToString(key)})
	}
	settings["vantages"], settings["quorum"] = vantages, n
	text, err = json.Marshal(settings)
	if err != nil {
		v.t.Fatal(err)
	}
	v.write("list/list.json", string(text))
}

func (v *vantagePoints) files(names ...string) (files []probe.EvidenceFile) {
	for _, name := range names {
		files = append(files, evidenceFile(name, v.scan(name, vantageKey(name))))
	}
	return files
}

func evidenceFile(name string, data []byte) probe.EvidenceFile {
	return probe.EvidenceFile{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// scan is the file of one vantage.
func (v *vantagePoints) scan(name string, key ed25519.PrivateKey) []byte {
	v.t.Helper()
	var out bytes.Buffer
	at, roots := v.started.Add(v.ahead[name]).UTC().Format(policy.TimeFormat), strings.Repeat("ab", 32)
	var h probe.Header
	err := json.Unmarshal(fmt.Appendf(nil, `{"canary":{"codes":[],"domain":"canary.example","verdict":"pass"},"ehlo":"%s.example","format":"policylist/evidence/v1",
		"kind":"header","roots":"%s","roots-version":"1","started":"%s","tool":"test","vantage":"%s"}`, name, roots, at, name), &h)
	w, err1 := probe.NewEvidence(&out, h)
	err = errors.Join(err, err1)
	for _, e := range v.entries {
		verdict, code := v.says(name, e)
		if verdict == "" {
			continue
		}
		codes := "[]"
		if code != "" {
			codes = `["` + code + `"]`
		}
		err = errors.Join(err, w.Add(probe.Result{Line: fmt.Appendf(nil,
			`{"at":"%s","codes":%s,"domain":"%s","kind":"domain","observed":{},"policy":%s,"roots":"%s","since":"%s","tool":"test","vantage":"%s","verdict":"%s"}`,
			at, codes, e.Domain, e.Policy.AppendJSON(nil), roots, at, name, verdict)}))
	}
	if err = errors.Join(err, w.Sign(key)); err != nil {
		v.t.Fatal(err)
	}
	return out.Bytes()
}

// evidenceOf fetches the evidence of a release from its mirror.
func (v *vantagePoints) evidenceOf(leaf *mirror.ReleaseLeaf) []byte {
	v.t.Helper()
	packed, err := v.Mirrors[0].Store.Get(v.t.Context(), mirror.EvidencePath(*leaf.Evidence), 1<<20)
	if err != nil {
		v.t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	defer z.Close()
	data, err := z.DecodeAll(packed, nil)
	if err != nil || sha256.Sum256(data) != *leaf.Evidence {
		v.t.Fatalf("the evidence on the mirror is not that of the leaf: %v", err)
	}
	return data
}

// TestReleaseByEvidence: what a quorum of vantages saw to work goes out, the rest is held; the merged evidence is
// published, and a stranger verifies it with the keys of list.json.
func TestReleaseByEvidence(t *testing.T) {
	v := newVantagePoints(t, 2)
	broken, absent, argued, outdated := v.entries[0].Domain, v.entries[1].Domain, v.entries[2].Domain, v.entries[3].Domain
	v.says = func(vantage string, e policy.Entry) (string, string) {
		switch {
		case e.Domain == broken && vantage != "west":
			return "fail", "cert.expired"
		case e.Domain == argued && vantage == "south":
			return "fail", "starttls.stripped"
		case e.Domain == absent:
			return "", ""
		}
		return "pass", ""
	}
	for i, e := range v.entries {
		if e.Domain == outdated {
			v.entries[i].Policy.Mode = policy.Testing + policy.Enforce - e.Policy.Mode // the other one
		}
	}
	out := v.release()
	held := make(map[string]string)
	for _, h := range out.Held {
		held[h.Change.Domain.String()] = string(h.Verdict) + " " + strings.Join(h.Codes, " ")
		if len(h.Found) != len(h.Codes) || h.Found[0].Fix == "" {
			t.Errorf("%s is held without a word: %+v", h.Change.Domain, h.Found)
		}
	}
	want := map[string]string{
		broken.String(): "fail cert.expired vantage.disagree", absent.String(): "inconclusive evidence.absent",
		outdated.String(): "inconclusive evidence.other-policy",
	}
	if fmt.Sprint(held) != fmt.Sprint(want) {
		t.Errorf("held %v, want %v", held, want)
	}
	if out.Leaf().Count != 2 || out.Leaf().Override != "" || len(out.Findings) != 0 {
		t.Errorf("leaf %+v, findings %v", out.Leaf(), out.Findings)
	}
	merged := v.evidenceOf(out.Leaf())
	checked, err := pipeline.Check(t.Context(), v.Source)
	if err != nil {
		t.Fatal(err)
	}
	o := probe.MergeOptions{Quorum: 2, Keys: checked.Source().Settings().VantageKeys()}
	if report, err := probe.VerifyMerged(bytes.NewReader(merged), probe.MaxMerged, o, nil); err != nil || report.Disagreed != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	c := v.client("public", mirror.Auto)
	if _, err := c.Update(t.Context()); err != nil {
		t.Error(err)
	}
	// The same evidence, merged elsewhere, is the same evidence: now the source follows what the vantages were asked.
	v.Evidence = func(context.Context) ([]probe.EvidenceFile, error) {
		return []probe.EvidenceFile{evidenceFile("merged", merged)}, nil
	}
	if again := v.release(); *again.Leaf().Evidence != *out.Leaf().Evidence {
		t.Error("the merged file has another digest than its parts")
	}
}

// TestReleaseByBadEvidence: whatever is wrong with the evidence, the list is renewed, nothing new goes in, and an alarm
// tells.
func TestReleaseByBadEvidence(t *testing.T) {
	var v *vantagePoints
	merged := func(quorum int, names ...string) []byte {
		var out bytes.Buffer
		if _, err := probe.Merge(&out, v.files(names...), probe.MergeOptions{Quorum: quorum}, nil); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	give := func(files ...probe.EvidenceFile) {
		v.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return files, nil }
	}
	v = newVantagePoints(t, 2)
	start := v.now
	for _, c := range []struct {
		name string
		set  func()
		code string
		says string
	}{
		{"older than a day", func() { v.started = start.Add(-24 * time.Hour); give(v.files(vantageNames...)...) }, "evidence.stale", "began at 2026-11-24T12:00:00Z"},
		{"merged, older than a day", func() {
			v.started = start.Add(-24 * time.Hour)
			give(evidenceFile("merged", merged(2, vantageNames...)))
		}, "evidence.stale", "began at"},
		{"from the future", func() { v.started = start.Add(99 * time.Hour); give(v.files(vantageNames...)...) }, "evidence.stale", "began at"},
		{"merged, one of three from the future", func() {
			v.ahead = map[string]time.Duration{"south": time.Hour + 10*time.Minute + time.Second} // a release is an hour on
			give(evidenceFile("merged", merged(2, vantageNames...)))
		}, "evidence.stale", "the scan of vantage south began at"},
		{"another's key", func() { give(evidenceFile("north", v.scan("north", vantageKey("south")))) }, "evidence.refused", "no signature of vantage"},
		{"a stranger", func() { give(evidenceFile("east", v.scan("east", vantageKey("east")))) }, "evidence.refused", `no key of a vantage "east"`},
		{"merged with a stranger", func() { give(evidenceFile("merged", merged(2, "east", "north"))) }, "evidence.refused", `no key of a vantage "east"`},
		{"merged by a lower quorum", func() { give(evidenceFile("merged", merged(1, "north"))) }, "evidence.refused", "quorum of 1 instead of 2"},
		{"a forged verdict", func() {
			v.says = func(string, policy.Entry) (string, string) { return "fail", "cert.name" }
			give(evidenceFile("merged", bytes.ReplaceAll(merged(2, vantageNames...), []byte(`"fail"`), []byte(`"pass"`))))
		}, "evidence.refused", "its lines have digest"},
		{"no evidence", func() {
			v.Evidence = func(context.Context) ([]probe.EvidenceFile, error) { return nil, os.ErrNotExist }
		}, "evidence.refused", "file does not exist"},
		{"damage", func() { give(evidenceFile("north", []byte("{}\n"))) }, "evidence.refused", "north: line 1"},
	} {
		v.says = func(string, policy.Entry) (string, string) { return "pass", "" }
		v.started, v.ahead = v.now, nil
		c.set()
		out := v.release()
		found := out.Findings
		if len(found) != 1 || found[0].Code != c.code || found[0].Severity != policy.Error || !strings.Contains(found[0].Summary, c.says) {
			t.Errorf("%s: findings %#v", c.name, found)
		}
		if out.Leaf().Count != 0 || out.Leaf().Evidence != nil || len(out.Held) != len(v.entries) || out.Leaf().Override != "" {
			t.Errorf("%s: %+v, %d held", c.name, out.Leaf(), len(out.Held))
		}
	}
	v.says, v.started = func(string, policy.Entry) (string, string) { return "pass", "" }, v.now
	v.ahead = map[string]time.Duration{"north": 2*time.Hour + 10*time.Minute} // two releases on, as far as a clock may be
	give(v.files("west")...)
	if out := v.release(); len(out.Held) != len(v.entries) || !slices.Equal(out.Held[0].Codes, []string{"vantage.quorum"}) || len(out.Findings) != 0 {
		t.Errorf("one vantage of two: %d held %v, %v", len(out.Held), out.Held[0].Codes, out.Findings)
	}
	give(v.files("west", "north")...)
	if out := v.release(); len(out.Held) != 0 || out.Leaf().Count != int64(len(v.entries)) {
		t.Errorf("then all is well: %+v, %d held", out.Leaf(), len(out.Held))
	}
	// A list without vantages believes nobody.
	v = newVantagePoints(t, 2)
	v.write("list/list.json", `{"author": "x", "origin": "`+v.Trust.Newest().Origin+`"}`)
	if out := v.release(); len(out.Findings) != 1 || !strings.Contains(out.Findings[0].Summary, "names no vantages") {
		t.Errorf("no vantages: %v", out.Findings)
	}
}
