package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/schema"
)

// Checked is a source list that was read wholly and held against the schemas and the rules: the first stage of a
// release. That it was checked does not say that it is good; Findings does.
type Checked struct {
	source   *policy.Source
	findings []policy.Finding
	entries  []policy.Entry
	changes  []policy.SourceChange
	compared bool
}

// Source returns what was read.
func (c Checked) Source() *policy.Source { return c.source }

// Findings returns what is wrong, sorted by place; with a base only what the change is to blame for.
func (c Checked) Findings() []policy.Finding { return c.findings }

// Entries returns what a release would publish, sorted by domain. With errors among the findings it is incomplete.
func (c Checked) Entries() []policy.Entry { return c.entries }

// Changes returns the differences from the base, sorted by domain; nil without a base.
func (c Checked) Changes() []policy.SourceChange { return c.changes }

// Compared reports whether there was a base.
func (c Checked) Compared() bool { return c.compared }

// Check reads the source at path, a directory or one file in the 0.1 format, and applies schemas and rules. An error
// means that it could not decide: ErrSource when path is no readable source. Whatever is wrong with the source's
// contents is a finding.
func Check(ctx context.Context, path string) (Checked, error) {
	tree, err := readTree(path)
	if err != nil {
		return Checked{}, err
	}
	return checkTree(ctx, tree)
}

// CheckAgainst is Check, and compares with the source as it was at the Git revision base. Only findings that the change
// is to blame for are returned; changes of aliases count for every member (rule R17).
func CheckAgainst(ctx context.Context, path, base string) (Checked, error) {
	now, err := readTree(path)
	if err != nil {
		return Checked{}, err
	}
	old, err := readRevision(ctx, path, base)
	if err != nil {
		return Checked{}, err
	}
	set, err := schema.Load()
	if err != nil {
		return Checked{}, err
	}
	return validator{set}.compare(ctx, old, now, newShared(old, now))
}

// compare checks both versions and blames the later one for what the earlier did not have.
func (v validator) compare(ctx context.Context, old, now tree, same shared) (Checked, error) {
	after, err := v.version(ctx, now, same)
	if err != nil {
		return Checked{}, err
	}
	before, err := v.version(ctx, old, same)
	if err != nil {
		return Checked{}, err
	}
	changes, findings := policy.CompareSources(before.source, after.source)
	findings = append(findings, policy.Introduced(before.findings, after.findings, changes)...)
	slices.SortFunc(findings, policy.Finding.Compare)
	after.changes, after.findings, after.compared = changes, findings, true
	return after, nil
}

// tree is a source as bytes. Paths are as findings show them.
type tree struct {
	single   *policy.File // a source of one file in the 0.1 format; the rest is empty then
	settings *policy.File // nil when there is none
	where    string       // where the settings belong
	rest     []policy.File

	incidents []policy.File // no part of the list: only who asks for them reads them
}

// checkTree parses and validates the files side by side, at most one a processor, and joins them in their order.
func checkTree(ctx context.Context, t tree) (Checked, error) {
	set, err := schema.Load()
	if err != nil {
		return Checked{}, err
	}
	return validator{set}.version(ctx, t, nil)
}

// version is checkTree for one of two versions of a source, which share what is the same in both.
func (v validator) version(ctx context.Context, t tree, same shared) (Checked, error) {
	var settings policy.Settings
	var findings []policy.Finding
	if t.single != nil {
		fragment := policy.ParseOldSource(*t.single)
		settings.LifetimeDays = policy.DefaultLifetimeDays
		return join(settings, v.shape(schema.OldList, fragment), []*policy.Fragment{fragment}), nil
	}
	switch {
	case t.settings == nil:
		findings = append(findings, policy.MissingSettings(t.where))
		settings.LifetimeDays = policy.DefaultLifetimeDays
	default:
		settings, findings = policy.ParseSettings(*t.settings)
		if len(findings) == 0 {
			findings = v.settings(*t.settings)
		}
	}
	fragments := make([]*policy.Fragment, len(t.rest))
	shapes := make([][]policy.Finding, len(t.rest))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range t.rest {
		group.Go(func() error {
			if once := same[f.Path]; once != nil {
				fragments[i] = once()
				return ctx.Err()
			}
			fragments[i] = policy.ParseFragment(f)
			shapes[i] = v.shape(schema.Fragment, fragments[i])
			fragments[i].Forget()
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return Checked{}, fmt.Errorf("check: %w", err)
	}
	return join(settings, append(findings, slices.Concat(shapes...)...), fragments), nil
}

func join(settings policy.Settings, findings []policy.Finding, fragments []*policy.Fragment) Checked {
	source, found := policy.NewSource(settings, fragments)
	findings = append(findings, found...)
	slices.SortFunc(findings, policy.Finding.Compare)
	return Checked{source: source, findings: findings, entries: source.Compile()}
}

// validator holds documents against the schemas.
type validator struct{ set *schema.Set }

// shape reports where a file differs from its schema. The rules look at the same things and say it better, so it speaks up
// only where they saw no error: then one of the two is wrong, and the file does not pass.
func (v validator) shape(kind schema.Kind, f *policy.Fragment) []policy.Finding {
	if f.Document() == nil || policy.HasErrors(f.Findings()) {
		return nil
	}
	return v.findings(kind, f.Document())
}

func (v validator) settings(f policy.File) []policy.Finding {
	doc, err := policy.ParseDocument(f)
	if err != nil {
		return nil // ParseSettings has said so
	}
	return v.findings(schema.Settings, doc)
}

func (v validator) findings(kind schema.Kind, doc *policy.Document) []policy.Finding {
	var out []policy.Finding
	for _, violation := range v.set.Validate(kind, doc.Root.Value()) {
		at := doc.Position(doc.Root.Find(violation.Pointer).At)
		out = append(out, policy.NewFinding("source.shape", at, "", fmt.Sprintf("%s: %s", violation.Pointer, violation.Message)))
	}
	return out
}

// display is the name that findings show for a file of a source directory.
func display(dir, rel string) string { return filepath.ToSlash(filepath.Join(dir, rel)) }
