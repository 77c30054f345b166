package mta

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// oldEntry and oldList are policy.json as a client sees it that knows nothing of this project: a plain decoder.
type oldEntry struct {
	Mode  string   `json:"mode"`
	MXs   []string `json:"mxs"`
	Alias string   `json:"policy-alias"`
}

type oldList struct {
	Timestamp time.Time           `json:"timestamp"`
	Expires   time.Time           `json:"expires"`
	Aliases   map[string]oldEntry `json:"policy-aliases"`
	Policies  map[string]oldEntry `json:"policies"`
}

// oldTable is what starttls-policy-cli, the Python client of the old project, makes of policy.json for Postfix, as
// its users' machines still do: keys padded to the longest domain, a commented line for testing (unless its user wants
// such policies enforced), one comment for an expired list. It was compared with the client itself.
func oldTable(data []byte, now time.Time, enforceTesting bool) (string, error) {
	var l oldList
	if err := json.Unmarshal(data, &l); err != nil {
		return "", err
	}
	if !l.Expires.After(now) {
		return "# Policy list is outdated. Falling back to opportunistic encryption.\n", nil
	}
	width, names := 0, []string{}
	for name := range l.Policies {
		names, width = append(names, name), max(width, len(name))
	}
	slices.Sort(names)
	var lines []string
	for _, name := range names {
		entry := l.Policies[name]
		if entry.Alias != "" {
			found, ok := l.Aliases[entry.Alias]
			if !ok {
				return "", fmt.Errorf("%s: no alias %s", name, entry.Alias)
			}
			entry = found
		}
		line := fmt.Sprintf("%-*s ", width, name)
		testing := entry.Mode == "testing" || entry.Mode == "" // the client's default
		switch {
		case entry.Mode == "enforce", testing && enforceTesting:
			line += " secure match=" + strings.Join(entry.MXs, ":")
		case testing:
			line = "# " + line + "undefined due to testing policy"
		default:
			return "", fmt.Errorf("%s: mode %q", name, entry.Mode)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// An old client reads the canonical file, and gets the same policies as a new one in the oldest dialect.
func TestOldClientReadsTheCanonicalFile(t *testing.T) {
	signed := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	expires := signed.AddDate(0, 0, 14)
	data, err := example(t).Bytes(policy.Header{Timestamp: signed, Expires: expires, Author: "Example list https://list.example"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "policy.json", data)
	old, err := oldTable(data, signed, false)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "oldclient.golden", []byte(old))
	sameTable(t, old, example(t))
	outdated, err := oldTable(data, expires, false)
	if err != nil || len(table(t, outdated)) > 0 {
		t.Errorf("%s, %v", outdated, err)
	}
}

func sameTable(t *testing.T, old string, l policy.List) {
	t.Helper()
	text, _ := render(t, l, Options{Dialect: Legacy, Header: header})
	was, is := table(t, old), table(t, text)
	if len(was) != len(is) {
		t.Errorf("old client: %d lines, new: %d", len(was), len(is))
	}
	for key, value := range was {
		if is[key] != value {
			t.Errorf("%s: old client %q, new %q", key, value, is[key])
		}
	}
}

// The last list of the old project, brought into canonical form: the old client gets from the new file the table that
// it got from the old one, except for case and order of names. All its policies are testing, so the client runs as for
// those who want them enforced.
func TestOldClientOnTheLastOldList(t *testing.T) {
	data, err := os.ReadFile("../../../shared/data/eff-history/046-20191226.json")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the history is not part of this repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var l oldList
	if err := json.Unmarshal(data, &l); err != nil {
		t.Fatal(err)
	}
	var entries, enforced []policy.Entry
	for name, e := range l.Policies {
		if e.Alias != "" {
			e = l.Aliases[e.Alias]
		}
		if e.Mode != "testing" {
			t.Errorf("%s is %s", name, e.Mode)
		}
		entries = append(entries, policy.Entry{Domain: domain(t, name), Policy: rule(t, policy.Testing, e.MXs...)})
		enforced = append(enforced, policy.Entry{Domain: domain(t, name), Policy: rule(t, policy.Enforce, e.MXs...)})
	}
	canonical, err := list(t, entries...).Bytes(policy.Header{Timestamp: l.Timestamp, Expires: l.Expires, Author: "x"})
	if err != nil {
		t.Fatal(err)
	}
	fromNew, err := oldTable(canonical, l.Timestamp, true)
	if err != nil {
		t.Fatal(err)
	}
	fromOld, err := oldTable(data, l.Timestamp, true)
	if err != nil {
		t.Fatal(err)
	}
	sameTable(t, fromNew, list(t, enforced...))
	was, is := table(t, fromOld), table(t, fromNew)
	for key, value := range was {
		names := strings.Split(strings.ToLower(strings.TrimPrefix(value, "secure match=")), ":")
		slices.Sort(names)
		if want := "secure match=" + strings.Join(slices.Compact(names), ":"); is[strings.ToLower(key)] != want {
			t.Errorf("%s: %q, want %q", key, is[key], want)
		}
	}
	if len(was) != len(is) || len(is) != 466 {
		t.Errorf("%d domains, %d lines from the old file, %d from the new", len(entries), len(was), len(is))
	}
}
