package probe

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestFeedbackLine: a release's evidence may end in a feedback table, in its one form, once, and only there.
func TestFeedbackLine(t *testing.T) {
	merged, err := os.ReadFile("testdata/merged.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	table := []byte(`{"domains":[],"format":"feedback/1"}`)
	line := string(AppendFeedback(nil, table))
	lines := strings.SplitAfter(string(merged), "\n")
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"none":                 {string(merged), true},
		"behind the last line": {string(merged) + line, true},
		"twice":                {string(merged) + line + line, false},
		"before the last line": {strings.Join(lines[:len(lines)-2], "") + line + lines[len(lines)-2], false},
		"something behind it":  {string(merged) + line + lines[1], false},
		"another digest":       {string(merged) + strings.Replace(line, `"sha256":"`, `"sha256":"0`, 1), false},
		"another kind":         {string(merged) + strings.Replace(line, `"kind":"feedback"`, `"kind":"feedbacks"`, 1), false},
		"a table with spaces":  {string(merged) + string(AppendFeedback(nil, []byte(`{"a": 1}`))), false},
		"without its end":      {string(merged) + strings.TrimSuffix(line, "\n"), false},
	} {
		report, err := VerifyMerged(strings.NewReader(c.text), MaxMerged, MergeOptions{}, nil)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
		if want := strings.HasSuffix(c.text, line) && c.ok; want != bytes.Equal(report.Feedback, table) {
			t.Errorf("%s: feedback %s", name, report.Feedback)
		}
	}
}

// TestFeedbackIsNoVantages: a file that is to be merged has none, or the vantage's signature would not cover its file.
func TestFeedbackIsNoVantages(t *testing.T) {
	merged, err := os.ReadFile("testdata/merged.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(merged), MaxMerged)
	if err != nil {
		t.Fatal(err)
	}
	own := string(r.merged.files[0]) + "\n"
	text := own + string(AppendFeedback(nil, []byte(`{"domains":[]}`)))
	whole, err := NewReader(strings.NewReader(text), MaxMerged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := whole.Next(); !errors.Is(err, io.EOF) || string(whole.Feedback()) != `{"domains":[]}` {
		t.Errorf("the releasing host's own evidence: %v, %s", err, whole.Feedback())
	}
	file := EvidenceFile{Name: "a", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	if _, err := Merge(io.Discard, []EvidenceFile{file}, MergeOptions{Quorum: 1}, nil); !errors.Is(err, ErrEvidence) {
		t.Errorf("a vantage's file with feedback: %v", err)
	}
}
