package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// OldList is a list in the 0.1 format as the old project wrote it: aliases resolved, names in canonical form, times in
// UTC and cut to whole seconds, entries sorted.
type OldList struct {
	Header
	Entries []Entry
}

// oldTimes are the members of an old list beside its policies; a source ignores them, an import reads them.
type oldTimes struct{ timestamp, expires, author *Node }

// ParseOldSource reads a source that is one file in the 0.1 format. Its times and author are ignored, not even
// looked at: a source gets its times when it is released.
func ParseOldSource(f File) *Fragment {
	r, fr := openFragment(f)
	r.known = []string{"mode", "mxs", "policy-alias"}
	if fr.doc == nil {
		fr.findings = r.findings
		return fr
	}
	root := &fr.doc.Root
	m := r.members(root, "a 0.1 list", "timestamp", "expires", "version", "author", "policy-aliases", "policies")
	if m != nil {
		for _, name := range []string{"policy-aliases", "policies"} {
			if m[name] == nil {
				r.report("source.shape", root.At, "", "%q is missing", name)
			}
		}
		switch n := m["version"]; {
		case n == nil:
			r.report("list.version", root.At, "", "there is no version, as a source in a single file needs")
		case n.Kind != JSONString || n.Text != "0.1":
			r.report("list.version", n.At, "", "the version is not the string \"0.1\"")
		}
		fr.times = oldTimes{m["timestamp"], m["expires"], m["author"]}
		r.read(m)
	}
	fr.findings = r.findings
	return fr
}

// ParseOldList reads a list that was published in the 0.1 format. It refuses none that is JSON: what is wrong becomes
// findings, of duplicates the last counts as for any decoder, retired members are skipped, names come out normalised,
// and an entry without a usable policy is left out. The times are zero where the file gives none.
func ParseOldList(f File) (OldList, []Finding) {
	fr := ParseOldSource(f)
	var l OldList
	if fr.doc != nil {
		r := nodeReader{doc: fr.doc}
		l.Timestamp = r.time(fr.times.timestamp, "timestamp")
		l.Expires = r.time(fr.times.expires, "expires")
		if fr.times.author != nil {
			l.Author = r.author(fr.times.author, &fr.doc.Root)
		}
		if !l.Timestamp.IsZero() && !l.Expires.IsZero() {
			r.lifetime(l.Header, fr.times.expires.At)
		}
		fr.findings = append(fr.findings, r.findings...)
	}
	source, findings := NewSource(Settings{}, []*Fragment{fr})
	l.Entries = source.Compile()
	return l, findings
}

// lifetime checks rule R8.
func (r *nodeReader) lifetime(h Header, at int) {
	const day = 24 * time.Hour
	switch life := h.Expires.Sub(h.Timestamp); {
	case life <= 0:
		r.report("time.lifetime", at, "", "the list expires at %s, not after its timestamp %s", h.Expires.Format(TimeFormat), h.Timestamp.Format(TimeFormat))
	case life < MinLifetimeDays*day || life > MaxLifetimeDays*day:
		r.report("time.lifetime", at, "", "the list lives %.1f days", life.Hours()/24)
	}
}

// CheckSuccession applies rules R7 and R9 to a list that follows another: with other entries its timestamp must be
// later, and the one before must not have expired yet. file names the later one.
func CheckSuccession(before, after OldList, file string) []Finding {
	return append(notLater(before, after, file), lapsed(before, after, file)...)
}

func lapsed(before, after OldList, file string) []Finding {
	gap := after.Timestamp.Sub(before.Expires)
	if gap <= 0 || before.Expires.IsZero() {
		return nil
	}
	return []Finding{NewFinding("time.lapsed", Position{File: file}, "",
		fmt.Sprintf("the list before expired %.1f hours earlier, at %s", gap.Hours(), before.Expires.Format(TimeFormat)))}
}

func notLater(before, after OldList, file string) []Finding {
	if after.Timestamp.After(before.Timestamp) || len(Diff(before.Entries, after.Entries)) == 0 && after.Header == before.Header {
		return nil
	}
	return []Finding{NewFinding("time.not-later", Position{File: file}, "",
		"the list is signed for "+after.Timestamp.Format(TimeFormat)+", not later than the one before it, "+before.Timestamp.Format(TimeFormat))}
}

// time reads all forms of rule R5: an integer of seconds since 1970, or a date with time, an optional fraction and an
// offset or Z in either case.
func (r *nodeReader) time(n *Node, what string) time.Time {
	if n == nil {
		r.report("time.form", r.doc.Root.At, "", "%s is missing", what)
		return time.Time{}
	}
	t, ok := oldTime(n)
	if !ok {
		r.report("time.form", n.At, "", "%s is %q", what, n.Text)
		return time.Time{}
	}
	return t
}

func oldTime(n *Node) (time.Time, bool) {
	switch n.Kind {
	case JSONNumber:
		v, err := strconv.ParseInt(n.Text, 10, 64)
		return time.Unix(v, 0).UTC(), err == nil && v > 0 && v < math.MaxInt32*8
	case JSONString:
		// "yyyy-MM-dd'T'HH:mm:ssZZZZ" was read by some as +00:00, by others as +0000.
		for _, layout := range []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700"} {
			if t, err := time.Parse(layout, strings.ToUpper(leapSecond(n.Text))); err == nil {
				return t.UTC().Truncate(time.Second), true
			}
		}
	}
	return time.Time{}, false
}

// leapSecond reads second 60 (RFC 3339 section 5.6) as 59, for time.Parse knows no leap seconds.
func leapSecond(s string) string {
	const at = len("2006-01-02T15:04:")
	if len(s) > at+2 && s[at:at+2] == "60" {
		return s[:at] + "59" + s[at+2:]
	}
	return s
}
