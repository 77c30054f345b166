package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// Bot edits a source by what is known of its domains. What it writes is a proposal like any other: the gate decides when
// the list follows.
type Bot struct {
	Name   string // the command
	decide func(k *Known, e policy.SourceEntry, d knownDomain) verdictOf
}

// Bots are all bots by the name of their command.
func Bots() map[string]Bot {
	return map[string]Bot{
		"sync-mta-sts": {"sync-mta-sts", syncSTS},
		"promote":      {"promote", promote},
		"demote":       {"demote", demote},
	}
}

// verdictOf is what a bot makes of an entry: the zero value leaves it alone, without a word.
type verdictOf struct {
	change bool
	new    *policy.Policy // with change; nil: the entry goes
	reason string         // with change: a code of the log
	left   []string       // codes of why nothing is done about what should be
	why    string         // in words, for people
}

// BotChange is an edit of one entry.
type BotChange struct {
	policy.Change
	Alias  string // the alias whose edit makes it, "" for an edit of the entry
	Reason string // a code of the log
	Why    string
}

// BotLeft is an entry about which a bot would have done something, and did not.
type BotLeft struct {
	Domain policy.Domain
	Codes  []string
	Why    string
}

// BotRun is what a bot wants to do. Nothing is written before Write.
type BotRun struct {
	Bot     string
	Changes []BotChange // sorted by domain
	Left    []BotLeft   // sorted by domain
	source  string
	files   []editedFile
}

type editedFile struct {
	old policy.File
	new []byte
}

// Plan decides about every entry. It is a function of source, knowledge and time: the same give the same files, byte for
// byte, and what it wrote needs no second time.
func (b Bot) Plan(ctx context.Context, source string, k *Known) (*BotRun, error) {
	run := &BotRun{Bot: b.Name, source: source}
	for _, e := range k.checked.Source().Entries() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := k.of(e.Domain)
		if err != nil {
			return nil, err
		}
		v := b.decide(k, e, d)
		if v.change {
			v = k.hold(e, d, v)
		}
		switch {
		case v.change:
			c := BotChange{Reason: v.reason, Why: v.why}
			c.Change = policy.Diff([]policy.Entry{{Domain: e.Domain, Policy: e.Policy}}, entryOf(e.Domain, v.new))[0]
			run.Changes = append(run.Changes, c)
		case len(v.left) > 0:
			run.Left = append(run.Left, BotLeft{e.Domain, v.left, v.why})
		}
	}
	return run, run.edit(ctx, k.checked.Source())
}

func entryOf(d policy.Domain, p *policy.Policy) []policy.Entry {
	if p == nil {
		return nil
	}
	return []policy.Entry{{Domain: d, Policy: *p}}
}

// The codes of what bots leave to people.
const (
	codeBotOverride = "bot.override"
	codeBotChanged  = "bot.changed"
	codeBotTooMany  = "bot.too-many"
)

func botCodes() []policy.Code {
	return []policy.Code{
		{ID: codeBotOverride, Rules: []string{"R54"}, Severity: policy.Warning, Summary: "a maintainer's override keeps the bot from the entry",
			Fix: "look whether its reason still holds; without \"override\" the entry follows again"},
		{ID: codeBotChanged, Rules: []string{"R54"}, Severity: policy.Notice, Summary: "the entry was changed after the vantages looked",
			Fix: "nothing: the bot decides after the next scan"},
		{ID: codeBotTooMany, Rules: []string{"R41"}, Severity: policy.Warning, Summary: "the MTA-STS policy has more MX patterns than an entry may have",
			Fix: "have its owner replace them by a pattern that covers them, or keep the entry by an override"},
	}
}

// hold keeps a bot from what people decided: an override, and an edit that is newer than what the vantages saw.
func (k *Known) hold(e policy.SourceEntry, d knownDomain, v verdictOf) verdictOf {
	switch {
	case e.Override != "":
		return verdictOf{left: []string{codeBotOverride}, why: fmt.Sprintf("%s, but for the override %q", v.why, e.Override)}
	case d.held != nil && !bytes.Equal(d.held, e.Policy.AppendJSON(nil)):
		return verdictOf{left: []string{codeBotChanged}, why: v.why}
	}
	return v
}

// fresh is the newest look, nil when it is older than a day: nothing is done on what was.
func (k *Known) fresh(d knownDomain) *gate.Look {
	if n := len(d.looks); n > 0 && k.now.Sub(d.looks[n-1].At) <= maxEvidenceAge && d.looks[n-1].At.Sub(k.now) <= maxEvidenceSkew {
		return &d.looks[n-1]
	}
	return nil
}

// decide asks the gate what it would make of the entry if the source wanted that.
func (k *Known) decide(e policy.SourceEntry, d knownDomain, wanted policy.Policy) gate.Outcome {
	in := gate.Input{
		Domain: e.Domain, Managed: e.ManagedBy, Published: d.published, Wanted: &wanted, Override: e.Override,
		Looks: d.looks, Log: d.log, Registered: d.registered, Reviewed: d.reviewed, Now: k.now,
	}
	k.hear(&in)
	return gate.Decide(in, k.settings)
}

// edit makes the new files.
func (r *BotRun) edit(ctx context.Context, s *policy.Source) error {
	if len(r.Changes) == 0 {
		return nil
	}
	t, err := readTree(r.source)
	if err != nil {
		return err
	}
	edits, err := r.edits(s, t)
	if err != nil {
		return err
	}
	for i, f := range t.rest {
		if len(edits[f.Path]) == 0 {
			continue
		}
		normal, err := policy.EditFragment(f, edits[f.Path])
		if err != nil {
			return err
		}
		r.files = append(r.files, editedFile{f, normal})
		t.rest[i].Data = normal
	}
	// What cannot be released must not be written, whatever went wrong.
	after, err := checkTree(ctx, t)
	if err == nil && policy.HasErrors(after.Findings()) {
		err = fmt.Errorf("%w after the edits: %s", ErrSourceErrors, after.Findings()[0].Code)
	}
	return err
}

// edits are those of each file. An alias is edited when all who use it change alike; else those who change leave it, for
// an edit of an alias is one of every member (rule R17).
func (r *BotRun) edits(s *policy.Source, t tree) (map[string][]policy.SourceEdit, error) {
	members := make(map[string][]int)
	for i, c := range r.Changes {
		if e, _ := s.Lookup(c.Domain); e.Alias != "" {
			members[e.Alias] = append(members[e.Alias], i)
		}
	}
	out := make(map[string][]policy.SourceEdit)
	for alias, changes := range members {
		if len(changes) != len(s.Members(alias)) || !r.alike(changes) {
			continue
		}
		file, err := definedIn(t, alias)
		if err != nil {
			return nil, err
		}
		out[file] = append(out[file], policy.SourceEdit{Name: alias, Policy: r.Changes[changes[0]].New})
		for _, i := range changes {
			r.Changes[i].Alias = alias
		}
	}
	for _, c := range r.Changes {
		if c.Alias == "" {
			e, _ := s.Lookup(c.Domain)
			file := e.Position().File
			out[file] = append(out[file], policy.SourceEdit{Domain: c.Domain, Policy: c.New})
		}
	}
	return out, nil
}

// alike reports whether the changes, by index, lead to one policy.
func (r *BotRun) alike(changes []int) bool {
	first := r.Changes[changes[0]].New
	return first != nil && !slices.ContainsFunc(changes, func(i int) bool {
		new := r.Changes[i].New
		return new == nil || !new.Equal(*first)
	})
}

func definedIn(t tree, alias string) (string, error) {
	for _, f := range t.rest {
		if policy.ParseFragment(f).Defines(alias) {
			return f.Path, nil
		}
	}
	return "", fmt.Errorf("%w: alias %q", policy.ErrNoEntry, alias)
}

// ErrChangedMeanwhile says that somebody edited the source while a bot decided. Nothing was written.
var ErrChangedMeanwhile = errors.New("the source was changed meanwhile")

// Write replaces the files, each atomically. It first looks at all of them: when one is not as it was read, nothing is
// written. A crash between two files leaves the rest for the next run, which finds it still to do and clears up. Of two bots
// at once one gives way.
func (r *BotRun) Write() error {
	if len(r.files) == 0 {
		return nil
	}
	unlock, err := lockSource(r.source)
	if err != nil {
		return err
	}
	defer unlock()
	for _, f := range r.files {
		if err := stillThere(f.old); err != nil {
			return err
		}
	}
	for _, f := range r.files {
		if err := replace(f.old, f.new); err != nil {
			return err
		}
		if err := durable.Sweep(filepath.Dir(f.old.Path), filepath.Base(f.old.Path)); err != nil {
			return err
		}
	}
	return nil
}

// lockSource keeps others from a source while its files are replaced: each would overwrite what it had not read.
func lockSource(source string) (unlock func(), err error) {
	unlock, err = durable.LockDir(source)
	if errors.Is(err, durable.ErrLocked) {
		err = fmt.Errorf("%w: somebody is editing it: %w", ErrChangedMeanwhile, err)
	}
	return unlock, err
}

// stillThere says what keeps a file that was read from being replaced. Of a symbolic link nobody knows who else uses its
// target.
func stillThere(f policy.File) error {
	info, err := os.Lstat(f.Path)
	if err == nil && info.Mode()&os.ModeSymlink != 0 {
		return fmt.Errorf("%w: %s is a symbolic link; let the file itself stand there", ErrSource, f.Path)
	}
	if now, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(now, f.Data) {
		return errors.Join(fmt.Errorf("%w: %s", ErrChangedMeanwhile, f.Path), err)
	}
	return nil
}

// Files are the paths of the files that Write replaces, sorted.
func (r *BotRun) Files() []string {
	var out []string
	for _, f := range r.files {
		out = append(out, f.old.Path)
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

// ownDoing is how long after the log let an entry go a bot still clears up after it: later the source speaks for itself,
// and somebody may have wanted the entry back.
const ownDoing = 7 * 24 * time.Hour
