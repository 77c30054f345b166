package policy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// oldHistory reads the 46 lists that the old project published, oldest first. They are no part of this repository;
// the test needs them beside it.
func oldHistory(t *testing.T) []policy.File {
	t.Helper()
	paths, err := filepath.Glob("../../shared/data/eff-history/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skip("the old project's lists are not here")
	}
	slices.Sort(paths)
	var files []policy.File
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, policy.File{Path: filepath.Base(p), Data: data})
	}
	return files
}

func codesOf(findings []policy.Finding) map[string]int {
	codes := map[string]int{}
	for _, f := range findings {
		codes[f.Code]++
	}
	return codes
}

// What the history is known to hold: a domain twice in 004 to 015, the retired pinsets in 001 to 012, one MX name in
// upper case in 016 to 018 and 030 to 046, and timestamps that do not rise in 018 and 030.
func TestOldListsAreReadWithTheirFlaws(t *testing.T) {
	within := func(n, low, high int) bool { return low <= n && n <= high }
	var last policy.OldList
	var lapsed []int // the numbers of the lists that came when the one before had expired
	for i, f := range oldHistory(t) {
		n := i + 1
		list, findings := policy.ParseOldList(f)
		codes := codesOf(findings)
		for _, want := range []struct {
			code string
			here bool
		}{
			{"json.duplicate-key", within(n, 4, 15)},
			{"source.retired-key", within(n, 1, 12)},
			{"mx.form", within(n, 16, 18) || within(n, 30, 46)},
		} {
			if got := codes[want.code]; got > 1 || got == 1 != want.here {
				t.Errorf("%s: %s occurs %d times, should occur: %v", f.Path, want.code, got, want.here)
			}
		}
		for code := range codes {
			if !slices.Contains([]string{"json.duplicate-key", "source.retired-key", "mx.form", "mx.redundant", "alias.repeated",
				"mx.shared-base", "source.order", "time.lifetime", "mx.foreign", "alias.unused"}, code) {
				t.Errorf("%s: unexpected %s", f.Path, code)
			}
		}
		if list.Timestamp.Location() != time.UTC || list.Timestamp.IsZero() || list.Expires.IsZero() || !strings.HasPrefix(list.Author, "Electronic Frontier") {
			t.Errorf("%s: header %+v", f.Path, list.Header)
		}
		if n > 1 {
			late := codesOf(policy.CheckSuccession(last, list, f.Path))
			if (late["time.not-later"] == 1) != (n == 18 || n == 30) {
				t.Errorf("%s: succession: %v", f.Path, late)
			}
			if late["time.lapsed"] == 1 {
				lapsed = append(lapsed, n)
			}
		}
		last = list
		t.Log(f.Path, len(list.Entries), codes)
	}
	if want := []int{2, 3, 7, 17, 27, 28, 31, 32, 37, 42, 44}; !slices.Equal(lapsed, want) {
		t.Errorf("lists that came too late: %v, want %v", lapsed, want)
	}
	if len(last.Entries) != 466 {
		t.Errorf("the last list has %d domains", len(last.Entries))
	}
	entry := last.Entries[slices.IndexFunc(last.Entries, func(e policy.Entry) bool { return e.Domain.String() == "boothlabs.me" })]
	if got := string(entry.Policy.AppendJSON(nil)); got != `{"mode":"testing","mxs":["boothlabs.me","jolteon.boothlabs.me"]}` {
		t.Errorf("boothlabs.me comes out as %s", got)
	}
}
