package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrFile is for a file that is none of this package's.
var ErrFile = errors.New("not a file of registrations")

// MaxFile caps the file: a million domains.
const MaxFile = 256 << 20

const format = "policylist/registrations/v1"

// Status is what came of asking for a domain last.
type Status string

const (
	OK      Status = "ok"      // the registry told
	Absent  Status = "absent"  // it does not know the domain
	Undated Status = "undated" // it does not tell when
	Failed  Status = "failed"  // it could not be asked, or nobody can use what it said
	Nobody  Status = "nobody"  // nobody can be asked about names below this suffix
)

// Line is what is known of a registered domain.
type Line struct {
	Domain     policy.Domain
	Asked      time.Time // last
	Status     Status
	Registered time.Time // as it was told last, zero for never: what fails later takes nothing from it
	Detail     string    // of Failed, printable
}

// File is all that is known, by registered domain. The zero value knows nothing.
type File struct {
	Made  time.Time // of the last run
	lines map[policy.Domain]Line
}

// lineJSON is how a Line is written.
type lineJSON struct {
	Domain     string `json:"domain"`
	Asked      string `json:"asked"`
	Status     Status `json:"status"`
	Registered string `json:"registered,omitempty"`
	Detail     string `json:"detail,omitempty"`
}

type headerJSON struct {
	Format string `json:"format"`
	Made   string `json:"made"`
}

// Parse reads a file: a header, {"format":"policylist/registrations/v1","made":…}, and one object a line, sorted by domain.
func Parse(data []byte) (File, error) {
	if len(data) > MaxFile {
		return File{}, fmt.Errorf("%w: more than %d bytes", ErrFile, MaxFile)
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	var h headerJSON
	f := File{lines: make(map[policy.Domain]Line)}
	err := json.Unmarshal(first, &h)
	if err == nil && h.Format != format {
		err = fmt.Errorf("format %.40q", h.Format)
	}
	if err == nil {
		f.Made, err = policy.ParseTime(h.Made)
	}
	if err != nil {
		return File{}, fmt.Errorf("%w: line 1: %w", ErrFile, err)
	}
	n, before := 1, ""
	for text := range bytes.Lines(rest) {
		n++
		l, err := parseLine(text)
		if err == nil && l.Domain.String() <= before {
			err = fmt.Errorf("%s stands behind %s", l.Domain, before)
		}
		if err != nil {
			return File{}, fmt.Errorf("%w: line %d: %w", ErrFile, n, err)
		}
		f.lines[l.Domain], before = l, l.Domain.String()
	}
	return f, nil
}

func parseLine(text []byte) (Line, error) {
	var j lineJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return Line{}, err
	}
	l := Line{Status: j.Status, Detail: j.Detail}
	if !slices.Contains([]Status{OK, Absent, Undated, Failed, Nobody}, j.Status) {
		return l, fmt.Errorf("status %.40q", j.Status)
	}
	var err error
	if l.Domain, err = policy.ParseDomain(j.Domain); err != nil {
		return l, err
	}
	if l.Asked, err = policy.ParseTime(j.Asked); err == nil && j.Registered != "" {
		l.Registered, err = policy.ParseTime(j.Registered)
	}
	if err == nil && l.Status == OK && l.Registered.IsZero() {
		err = errors.New("ok, and no date")
	}
	return l, err
}

// Bytes is the file.
func (f File) Bytes() ([]byte, error) {
	var out bytes.Buffer
	w := json.NewEncoder(&out)
	err := w.Encode(headerJSON{format, stamp(f.Made)})
	for _, d := range slices.SortedFunc(maps.Keys(f.lines), byName) {
		l := f.lines[d]
		j := lineJSON{Domain: d.String(), Asked: stamp(l.Asked), Status: l.Status, Detail: l.Detail}
		if !l.Registered.IsZero() {
			j.Registered = stamp(l.Registered)
		}
		err = errors.Join(err, w.Encode(j))
	}
	return out.Bytes(), err
}

// Registered is when the name that a mail domain lies under was registered last, zero where that is not known.
func (f File) Registered(d policy.Domain) time.Time {
	name, err := Name(d)
	if err != nil {
		return time.Time{}
	}
	return f.lines[name].Registered
}

func stamp(t time.Time) string { return t.UTC().Format(policy.TimeFormat) }
