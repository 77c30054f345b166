package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
)

// OldFile is one published list in the 0.1 format, as the old project wrote them.
type OldFile struct {
	policy.File
	Signature []byte // detached OpenPGP signature, nil if there is none
}

// source is what the release leaf says of the file.
func (f OldFile) source() string { return fmt.Sprintf("import:%x", sha256.Sum256(f.Data)) }

// Imported is one file that became a release, with what was wrong with it.
type Imported struct {
	*Published
	File     string
	Findings []policy.Finding
}

// ErrImport means that a file is no list that could become a release.
var ErrImport = errors.New("cannot import")

// ErrHistory is the ErrImport of files that do not continue what is released already.
var ErrHistory = fmt.Errorf("%w", ErrImport)

// Import gives each file a release of its own, in order, with its historic times; flaws become findings and the
// import goes on. It may be repeated after an interruption: files that are released already are passed over. done is
// called after each release. keyring may be nil; signatures are then not looked at.
func (p *Publisher) Import(ctx context.Context, files []OldFile, keyring *signing.Keyring, done func(Imported)) error {
	if err := p.checkFiles(files); err != nil {
		return err
	}
	return p.session(ctx, func(last *Published) error {
		if last != nil && last.Waiting() {
			return last.waiting // history goes out as it was, or waits
		}
		first, err := p.continueAt(files, last)
		if err != nil {
			return err
		}
		var before policy.OldList
		for i, f := range files {
			list, findings := policy.ParseOldList(f.File)
			if i > 0 {
				findings = append(findings, policy.CheckSuccession(before, list, f.Path)...)
			}
			before = list
			if i < first {
				continue
			}
			findings = append(findings, checkSignature(f, keyring)...)
			plan, err := planImport(f, list, last)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			if last, err = p.make(ctx, plan, last); err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			done(Imported{last, f.Path, findings})
		}
		return nil
	})
}

// checkFiles finds what would stop the import before anything is released: nothing is half imported for a reason that
// could be seen from the start.
func (p *Publisher) checkFiles(files []OldFile) error {
	for _, f := range files {
		list, findings := policy.ParseOldList(f.File)
		if err := datable(list); err != nil {
			for _, found := range findings {
				if found.Severity == policy.Error {
					err = fmt.Errorf("%w: %s: %s", err, found.Position, found.Summary)
					break
				}
			}
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if list.Timestamp.After(p.Now()) {
			return fmt.Errorf("%s: %w: its timestamp %s lies in the future", f.Path, ErrImport, list.Timestamp.UTC().Format(policy.TimeFormat))
		}
	}
	return nil
}

// datable: only a list with both times can become a release.
func datable(list policy.OldList) error {
	if list.Timestamp.IsZero() || list.Expires.IsZero() {
		return fmt.Errorf("%w: it has no timestamp or no expiry", ErrImport)
	}
	return nil
}

// continueAt returns the index of the first file that is not released yet. All that were released have to be among the
// files or before them: a file in the middle of the history would otherwise be released once more, as its end.
func (p *Publisher) continueAt(files []OldFile, last *Published) (int, error) {
	if last == nil {
		return 0, nil
	}
	if !last.imported() {
		return 0, fmt.Errorf("%w: release %d was made from a source; history comes before it", ErrHistory, last.leaf.Release)
	}
	for i, f := range slices.Backward(files) {
		if f.source() == last.leaf.Source {
			return i + 1, nil
		}
	}
	for n := last.leaf.Release; n > 0; n-- {
		s, err := p.loadSigned(n)
		if err != nil {
			return 0, err
		}
		for _, f := range files {
			if f.source() == s.leaf.Source {
				return 0, fmt.Errorf("%w: %s is release %d already, and later ones follow that are not named: name all files in the order of the first import", ErrHistory, f.Path, n)
			}
		}
	}
	return 0, nil
}

func planImport(f OldFile, list policy.OldList, last *Published) (Probed, error) {
	if err := datable(list); err != nil {
		return Probed{}, err
	}
	plan := Probed{author: list.Author, source: f.source(), timestamp: list.Timestamp, expires: list.Expires}
	if last != nil && !plan.timestamp.After(last.leaf.Timestamp) {
		plan.timestamp = last.leaf.Timestamp.Add(time.Second)
	}
	if !plan.expires.After(plan.timestamp) {
		plan.expires = plan.timestamp.Add(time.Second)
	}
	var edits []policy.Edit
	for _, c := range last.list().DiffEntries(list.Entries) {
		leaf := mirror.ChangeLeaf{Domain: c.Domain, Policy: c.New, Reason: "import.history"}
		plan.changes = append(plan.changes, leaf)
		edits = append(edits, leaf.Edit())
	}
	var err error
	plan.list, err = last.list().Apply(edits)
	return plan, err
}

func checkSignature(f OldFile, keyring *signing.Keyring) []policy.Finding {
	at := policy.Position{File: f.Path}
	finding := func(code, summary string) []policy.Finding {
		codes := Codes()
		c := codes[slices.IndexFunc(codes, func(c policy.Code) bool { return c.ID == code })]
		return []policy.Finding{{Code: code, Severity: c.Severity, Position: at, Summary: summary, Fix: c.Fix}}
	}
	switch {
	case f.Signature == nil:
		return finding(codeUnsigned, "there is no signature beside it")
	case keyring == nil:
		return nil
	}
	// The zero time: keys of that time have expired since, which says nothing of what they signed.
	if _, _, err := signing.VerifyDetached(keyring, f.Data, f.Signature, time.Time{}); err != nil {
		return finding(codeBadSignature, err.Error())
	}
	return nil
}
