package policy

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// SettingsName is the file of a source directory that holds its Settings.
const SettingsName = "list.json"

// Source is a whole source list: its settings and every entry with its place, sorted by domain.
type Source struct {
	settings Settings
	entries  []SourceEntry
	members  map[string][]int // alias name to indexes into entries
}

// ParseSource reads a source from the files of its directory, list.json at its top among them, or from one file in the
// old 0.1 format. Paths are slash-separated; root is the directory's, "" or "." when paths are relative to it. The Source
// holds what could be read; with errors among the findings it must not be released.
func ParseSource(root string, files []File) (*Source, []Finding) {
	top := path.Join(root, SettingsName)
	var settings *Settings
	var findings []Finding
	var fragments []*Fragment
	for _, f := range files {
		if path.Clean(f.Path) == top {
			s, found := ParseSettings(f)
			settings, findings = &s, append(findings, found...)
			continue
		}
		if rel := strings.TrimPrefix(path.Clean(f.Path), path.Clean(root)+"/"); IsIncident(rel) {
			continue
		}
		fragments = append(fragments, ParseFragment(f))
	}
	if settings == nil {
		findings = append(findings, MissingSettings(top))
		settings = &Settings{LifetimeDays: DefaultLifetimeDays}
	}
	s, found := NewSource(*settings, fragments)
	findings = append(findings, found...)
	slices.SortFunc(findings, Finding.Compare)
	return s, findings
}

// MissingSettings is the finding for a source directory without list.json.
func MissingSettings(file string) Finding {
	return NewFinding("list.missing", Position{File: file}, "", "there is no list.json in the source's directory")
}

// NewSource puts fragments together: aliases are resolved across files, and what only the whole can show is found. The
// findings, sorted by place, include those of the fragments.
func NewSource(settings Settings, fragments []*Fragment) (*Source, []Finding) {
	j := joiner{aliases: map[string]aliasDef{}, used: map[string]bool{}, spelled: map[string]string{}}
	count := 0
	for _, f := range fragments {
		j.findings = append(j.findings, f.findings...)
		j.define(f.aliases)
		count += len(f.entries)
	}
	entries := make([]SourceEntry, 0, count)
	for _, f := range fragments {
		for _, e := range f.entries {
			entries = append(entries, j.resolve(e))
		}
	}
	j.unused(fragments)
	s := &Source{settings: settings, entries: j.unique(sortedEntries(entries)), members: map[string][]int{}}
	for i, e := range s.entries {
		if e.Alias != "" {
			s.members[e.Alias] = append(s.members[e.Alias], i)
		}
	}
	slices.SortFunc(j.findings, Finding.Compare)
	return s, j.findings
}

// sortedEntries sorts by domain; of two entries for one domain the later one in the files' order comes last. Entries are
// large, so their order is found first and each is moved once.
func sortedEntries(entries []SourceEntry) []SourceEntry {
	byDomain := func(a, b SourceEntry) int { return cmp.Compare(a.Domain.name, b.Domain.name) }
	if slices.IsSortedFunc(entries, byDomain) {
		return entries
	}
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(byDomain(entries[i], entries[j]), cmp.Compare(i, j)) })
	out := make([]SourceEntry, len(entries))
	for i, from := range order {
		out[i] = entries[from]
	}
	return out
}

// Settings returns list.json; of an old single file only the default lifetime.
func (s *Source) Settings() Settings { return s.settings }

// Entries returns all entries sorted by domain; the caller must not change them.
func (s *Source) Entries() []SourceEntry { return s.entries }

// Lookup finds the entry of exactly d.
func (s *Source) Lookup(d Domain) (SourceEntry, bool) {
	i, ok := slices.BinarySearchFunc(s.entries, d, func(e SourceEntry, d Domain) int { return cmp.Compare(e.Domain.name, d.name) })
	if !ok {
		return SourceEntry{}, false
	}
	return s.entries[i], true
}

// Members returns the entries that take their policy from alias, sorted by domain.
func (s *Source) Members(alias string) []SourceEntry {
	var out []SourceEntry
	for _, i := range s.members[alias] {
		out = append(out, s.entries[i])
	}
	return out
}

// Compile resolves the source to what a release publishes: one policy a domain, sorted, without the entries that an
// error makes unusable.
func (s *Source) Compile() []Entry {
	out := make([]Entry, 0, len(s.entries))
	for _, e := range s.entries {
		if e.Policy.Mode != 0 {
			out = append(out, Entry{e.Domain, e.Policy})
		}
	}
	return out
}

// joiner is the state of NewSource.
type joiner struct {
	findings []Finding
	aliases  map[string]aliasDef
	used     map[string]bool
	spelled  map[string]string // canonical policy to the first alias that says it
	buf      []byte
}

func (j *joiner) report(code string, at Position, domain, format string, args ...any) {
	j.findings = append(j.findings, NewFinding(code, at, domain, fmt.Sprintf(format, args...)))
}

// define enters aliases; two of one name in one object were reported as a duplicate key.
func (j *joiner) define(defs []aliasDef) {
	for _, d := range defs {
		if first, ok := j.aliases[d.name]; ok && first.lines != d.lines {
			j.report("alias.duplicate", d.Position(), "", "the alias %q is defined already at %s", d.name, first.Position())
		}
		j.aliases[d.name] = d
		if d.policy.Mode != 0 {
			key := string(d.policy.AppendJSON(nil))
			if _, ok := j.spelled[key]; !ok {
				j.spelled[key] = d.name
			}
		}
	}
}

// resolve gives an entry its alias's policy and applies the rules that need the policy.
func (j *joiner) resolve(e SourceEntry) SourceEntry {
	if e.Alias != "" {
		def, ok := j.aliases[e.Alias]
		if !ok {
			j.report("alias.unknown", e.Position(), e.Domain.name, "there is no alias %q", e.Alias)
		}
		e.Policy = def.policy
		j.used[e.Alias] = true
	} else if len(j.spelled) > 0 && e.Policy.Mode != 0 {
		j.buf = e.Policy.AppendJSON(j.buf[:0])
		if name, ok := j.spelled[string(j.buf)]; ok {
			j.report("alias.repeated", e.Position(), e.Domain.name, "the entry says the same as the alias %q", name)
		}
	}
	if e.ManagedBy == ManagedByCurated && e.Policy.Mode == Enforce {
		j.report("entry.curated-enforce", e.Position(), e.Domain.name, "the entry is curated and its mode is enforce")
	}
	return e
}

func (j *joiner) unused(fragments []*Fragment) {
	for _, f := range fragments {
		for _, d := range f.aliases {
			if !j.used[d.name] {
				j.report("alias.unused", d.Position(), "", "no entry refers to the alias %q", d.name)
			}
		}
	}
}

// unique keeps the last of several entries for one domain, as JSON decoders do. Two spelled alike in one file were
// reported as a duplicate key.
func (j *joiner) unique(entries []SourceEntry) []SourceEntry {
	out := entries[:0]
	for _, e := range entries {
		if n := len(out); n > 0 && out[n-1].Domain == e.Domain {
			if first := out[n-1]; first.lines != e.lines || first.key != e.key {
				j.report("domain.duplicate", e.Position(), e.Domain.name, "%s is listed already at %s", e.Domain, first.Position())
			}
			out[n-1] = e
			continue
		}
		out = append(out, e)
	}
	return out
}
