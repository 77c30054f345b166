package probe

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Scan is what one vantage wrote, as far as a merge takes it.
type Scan struct {
	Vantage string
	Files   []EvidenceFile // a whole scan, or shards
	Bytes   int64          // of all files, decompressed

	header int // what they take of what a merged header may have: by number or by length
}

// Unusable is a file that a merge would refuse.
type Unusable struct {
	File    string // its name
	Vantage string // that signed it, "" where none did: what a file without a good signature says of itself is nobody's word
	Aged    bool   // nothing is wrong with it but its time
	Err     error
}

// UsableOptions say which files a merge takes.
type UsableOptions struct {
	Keys             map[string]ed25519.PublicKey // of the vantages that count, by name
	Earliest, Latest time.Time                    // when a scan may have begun, both included
}

// Usable tells files that Merge takes from those for which it would refuse all of them. One vantage that is broken, or was
// taken over, must not take the others' word from a release: it counts as absent, as one that never wrote does. The scans
// are sorted by vantage. Files are read to their ends, since signatures stand there. The error is the context's.
//
// Of several scans of one vantage the newest counts. Whoever can write where the evidence lies can put a scan there that
// the vantage signed some hours ago, since it was published; that must not shut out the one of today. A vantage that signed
// two scans of the same moment is believed in neither.
func Usable(ctx context.Context, files []EvidenceFile, o UsableOptions) (scans []Scan, bad []Unusable, err error) {
	byVantage := make(map[string][]scanFile)
	for _, f := range files {
		s, err := o.read(ctx, f)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			bad = append(bad, Unusable{File: f.Name, Err: err})
		case s.started.Before(o.Earliest) || s.started.After(o.Latest):
			err := fmt.Errorf("%s: the scan of vantage %s began at %s", f.Name, s.vantage, s.started.UTC().Format(policy.TimeFormat))
			bad = append(bad, Unusable{File: f.Name, Vantage: s.vantage, Aged: true, Err: err})
		default:
			byVantage[s.vantage] = append(byVantage[s.vantage], s)
		}
	}
	for vantage, files := range byVantage {
		taken, refused := newestScan(files)
		bad = append(bad, refused...)
		scan := Scan{Vantage: vantage}
		for _, s := range taken {
			scan.Files, scan.Bytes = append(scan.Files, s.file), scan.Bytes+s.reader.read()
			scan.header += max(len(s.raw)+1, maxMergedLine/maxMergedFiles)
		}
		if len(taken) > 0 {
			scans = append(scans, scan)
		}
	}
	slices.SortFunc(scans, func(a, b Scan) int { return strings.Compare(a.Vantage, b.Vantage) })
	scans, refused := fitting(scans)
	bad = append(bad, refused...)
	slices.SortStableFunc(bad, func(a, b Unusable) int { return strings.Compare(a.File, b.File) })
	return scans, bad, nil
}

// fitting leaves out what makes the merged header too long, be it by thousands of shards: the vantage with the most first.
func fitting(scans []Scan) (fit []Scan, bad []Unusable) {
	for {
		sum := 0
		for _, s := range scans {
			sum += s.header
		}
		if sum <= maxMergedLine-maxLine {
			return scans, bad
		}
		most := slices.MaxFunc(scans, func(a, b Scan) int { return cmp.Compare(a.header, b.header) })
		scans = Without(scans, most.Vantage)
		err := fmt.Errorf("%s: %w: vantage %s has too many files, or too long headers", most.Files[0].Name, ErrEvidence, most.Vantage)
		bad = append(bad, Unusable{File: most.Files[0].Name, Vantage: most.Vantage, Err: err})
	}
}

// Without are the scans of all vantages but one.
func Without(scans []Scan, vantage string) []Scan {
	return slices.DeleteFunc(slices.Clone(scans), func(s Scan) bool { return s.Vantage == vantage })
}

// scanFile is a file that its vantage signed.
type scanFile struct {
	*source
	file   EvidenceFile
	digest string
}

// read reads a file to its end, as a merge does.
func (o UsableOptions) read(ctx context.Context, f EvidenceFile) (scanFile, error) {
	at := func(err error) (scanFile, error) { return scanFile{}, fmt.Errorf("%s: %w", f.Name, err) }
	in, err := f.Open()
	if err != nil {
		return at(err)
	}
	defer in.Close()
	s, err := openSource(f.Name, in)
	if err != nil {
		return at(err)
	}
	key, known := o.Keys[s.vantage]
	if !known {
		return at(fmt.Errorf("%w: no key of a vantage %q is known", ErrEvidence, s.vantage))
	}
	for ended := false; !ended; ended = s.line.Domain.IsZero() {
		if err := errors.Join(ctx.Err(), s.advance()); err != nil {
			return scanFile{}, err
		}
	}
	if err := s.reader.Verify(key); err != nil {
		return at(err)
	}
	return scanFile{source: s, file: f, digest: s.reader.SHA256()}, nil
}

// openSource reads the header of a file that is to be merged.
func openSource(name string, in io.Reader) (*source, error) {
	r, err := NewReader(in, MaxEvidence)
	if err == nil && r.Merged() {
		err = r.at(fmt.Errorf("%w: it joins several vantages already: merge their own files", ErrEvidence))
	}
	if err != nil {
		return nil, err
	}
	s, err := newSource(name, r.Header(), r.first)
	if err != nil {
		return nil, err
	}
	r.ofVantage = true
	s.reader = r
	return s, nil
}

// newestScan takes of one vantage's files those of its newest scan: a whole one, or shards of one partition.
func newestScan(scans []scanFile) (taken []scanFile, bad []Unusable) {
	slices.SortStableFunc(scans, func(a, b scanFile) int { return b.started.Compare(a.started) })
	refuse := func(s scanFile, format string, args ...any) {
		err := fmt.Errorf("%s: %w: vantage %s: "+format, append([]any{s.name, ErrEvidence, s.vantage}, args...)...)
		bad = append(bad, Unusable{File: s.name, Vantage: s.vantage, Err: err})
	}
	twofold := false
	for _, s := range scans {
		i := slices.IndexFunc(taken, s.overlaps)
		switch {
		case i < 0:
			taken = append(taken, s)
		case taken[i].digest == s.digest:
			// The same bytes under two names say nothing new.
		case taken[i].started.Equal(s.started):
			refuse(s, "it signed this scan and another, %s, of the same moment", taken[i].name)
			twofold = true
		default:
			refuse(s, "its newer scan %s counts, and a vantage counts once", taken[i].name)
		}
	}
	if twofold {
		for _, s := range taken {
			refuse(s, "it signed two scans of the same moment")
		}
		taken = nil
	}
	return taken, bad
}

// overlaps reports whether two files of a vantage cannot both count.
func (s scanFile) overlaps(t scanFile) bool { return s.shard == t.shard || s.shard.N != t.shard.N }
