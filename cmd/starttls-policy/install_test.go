package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// heldView is a list of n domains as a client holds it, and its policy.json.
func heldView(t testing.TB, n int) (*namedView, []byte) {
	t.Helper()
	mx, err := policy.ParseMXPattern("mx1.provider.example")
	if err != nil {
		t.Fatal(err)
	}
	rule, err := policy.NewPolicy(policy.Enforce, []policy.MXPattern{mx})
	if err != nil {
		t.Fatal(err)
	}
	var entries []policy.Entry
	for i := range n {
		d, err := policy.ParseDomain(fmt.Sprintf("d%07d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, policy.Entry{Domain: d, Policy: rule})
	}
	l, err := policy.NewList(entries)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	data, err := l.Bytes(policy.Header{Timestamp: at, Expires: at.AddDate(0, 0, 14), Author: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return &namedView{"example", mirror.View{List: l, Release: &mirror.ReleaseLeaf{Origin: "log.example/list", Release: 1}, Freshness: mirror.Fresh}}, data
}

// tableOf is the table of one list, on a machine whose administrator says nothing.
func tableOf(view *namedView, o mta.Options) ([]byte, mta.Report, error) {
	s, err := settle([]*namedView{view}, localSay{})
	if err != nil {
		return nil, mta.Report{}, err
	}
	var text bytes.Buffer
	report, err := s.table(&text, []*namedView{view}, o)
	return text.Bytes(), report, err
}

// What an export does beside reading and writing files: parsing the list, rendering the table. The baseline is the bare
// decoding of the same list by encoding/json, which is the least that a client of the old project did.
func BenchmarkExport(b *testing.B) {
	for _, n := range []int{926, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			view, data := heldView(b, n)
			var ours, baseline time.Duration
			for b.Loop() {
				begin := time.Now()
				_, l, err := policy.ParseList(data)
				if err != nil {
					b.Fatal(err)
				}
				view.List = l
				if _, report, err := tableOf(view, mta.Options{Dialect: mta.Floor}); err != nil || report.Emitted != n {
					b.Fatal(report.Emitted, err)
				}
				ours += time.Since(begin)
				begin = time.Now()
				var v any
				if err := json.Unmarshal(data, &v); err != nil {
					b.Fatal(err)
				}
				baseline += time.Since(begin)
			}
			b.ReportMetric(float64(ours.Microseconds())/1000/float64(b.N), "ms/export")
			b.ReportMetric(ours.Seconds()/baseline.Seconds(), "export/decode")
		})
	}
}

// What is as it should be is not written again.
func TestInstallTwice(t *testing.T) {
	view, _ := heldView(t, 100)
	text, _, err := tableOf(view, mta.Options{Dialect: mta.Floor})
	if err != nil {
		t.Fatal(err)
	}
	p := postfixConfig{Map: absolutePath(filepath.Join(t.TempDir(), "table")), Type: cdb}
	for _, want := range []bool{true, false} {
		if changed, err := install(t.Context(), p, literal(text), nil); err != nil || changed != want {
			t.Errorf("written: %t, want %t; %v", changed, want, err)
		}
	}
}

// A crash between the two renames leaves a new compiled form and an old text; the next call makes both new.
func TestInstallAfterACrashBetweenItsRenames(t *testing.T) {
	for _, crashed := range []string{"compiled", "text", "neither"} {
		p := postfixConfig{Map: absolutePath(filepath.Join(t.TempDir(), "table")), Type: cdb}
		old, text := []byte("a.example  secure match=old.a.example\n"), []byte("a.example  secure match=new.a.example\n")
		if _, err := install(t.Context(), p, literal(old), nil); err != nil {
			t.Fatal(err)
		}
		other := postfixConfig{Map: absolutePath(filepath.Join(t.TempDir(), "table")), Type: cdb}
		if _, err := install(t.Context(), other, literal(text), nil); err != nil {
			t.Fatal(err)
		}
		switch crashed {
		case "compiled":
			if err := os.Rename(string(other.Map)+".cdb", string(p.Map)+".cdb"); err != nil {
				t.Fatal(err)
			}
		case "text": // by hand, since our order is the other
			if err := os.Rename(string(other.Map), string(p.Map)); err != nil {
				t.Fatal(err)
			}
			past := time.Now().Add(-time.Hour)
			if err := os.Chtimes(string(p.Map)+".cdb", past, past); err != nil {
				t.Fatal(err)
			}
		}
		if changed, err := install(t.Context(), p, literal(text), nil); err != nil || !changed {
			t.Errorf("%s: %t, %v", crashed, changed, err)
		}
		got, err := os.ReadFile(string(p.Map) + ".cdb")
		if err != nil || !strings.Contains(string(got), "new.a.example") || strings.Contains(string(got), "old.a.example") {
			t.Errorf("%s: the compiled form is not the new one: %v", crashed, err)
		}
		if files, err := os.ReadDir(filepath.Dir(string(p.Map))); err != nil || len(files) != 3 {
			t.Errorf("%s: left over: %v, %v", crashed, files, err)
		}
	}
}

// Whoever wants the old text again after such a crash gets it: the kill switch that was pulled and put back, say. Postfix
// would else read an empty table beside a full text. Nor does a compiled form count that something else has changed.
func TestInstallGoesBackAfterACrash(t *testing.T) {
	full, empty := []byte("a.example  secure match=mx.a.example\n"), []byte("# empty\n")
	other := postfixConfig{Map: absolutePath(filepath.Join(t.TempDir(), "table")), Type: cdb}
	if _, err := install(t.Context(), other, literal(empty), nil); err != nil {
		t.Fatal(err)
	}
	compiled, err := os.ReadFile(string(other.Map) + ".cdb")
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(path string) error{
		"crash":     func(path string) error { return os.WriteFile(path+".cdb", compiled, 0o644) },
		"truncated": func(path string) error { return os.Truncate(path+".cdb", 0) },
		"missing":   func(path string) error { return os.Remove(path + ".cdb") },
		"sums":      func(path string) error { return os.Remove(path + sumsSuffix) },
		"folder": func(path string) error {
			return errors.Join(os.Remove(path+".cdb"), os.Mkdir(path+".cdb", 0o755))
		},
	} {
		p := postfixConfig{Map: absolutePath(filepath.Join(t.TempDir(), "table")), Type: cdb}
		if _, err := install(t.Context(), p, literal(full), nil); err != nil || !current(p, literal(full)) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := harm(string(p.Map)); err != nil {
			t.Fatal(err)
		}
		if current(p, literal(full)) {
			t.Errorf("%s: the table counts as right", name)
		}
		if name == "folder" {
			continue // no rename takes that away
		}
		if changed, err := install(t.Context(), p, literal(full), nil); err != nil || !changed || !current(p, literal(full)) {
			t.Errorf("%s: %t, %v", name, changed, err)
		}
	}
}
