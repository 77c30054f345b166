package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// defaultTable is the table's file in the state folder.
const defaultTable = mta.PostfixTable

// errTable is what every failure to write the Postfix table wraps.
var errTable = errors.New("the Postfix table could not be written; the old one stays")

// namedView is what one list says.
type namedView struct {
	name string
	mirror.View
}

// table keeps the Postfix table as the lists have it. Each list's client calls it as a sink before the client's state
// is written, so that after a crash the next update writes it again.
type table struct {
	app     *app
	config  postfixConfig
	local   localSay
	state   string
	dialect mta.Dialect
	lists   []list
	views   []*namedView // by list; nil: not read yet
	report  tableReport
}

// tableReport says what the table is made of.
type tableReport struct {
	Map        string   `json:"map"`
	Type       string   `json:"type"`
	Dialect    string   `json:"dialect"`
	Lines      int      `json:"lines"`
	Wider      []string `json:"wider,omitempty"`        // suffix patterns, matched more widely than the list means
	Omitted    []string `json:"left_out,omitempty"`     // by exact-only
	Refused    []string `json:"refused,omitempty"`      // "domain: why"
	OwnFirst   int      `json:"own_policies,omitempty"` // listed and left out: what they say themselves comes first
	Testing    int      `json:"testing"`                // entries without a line
	Written    bool     `json:"written"`                // false: it was as it should be
	Incomplete bool     `json:"incomplete,omitempty"`   // what belongs in the table is not known
	Off        string   `json:"off,omitempty"`          // why everything is switched off
	Warning    string   `json:"warning,omitempty"`      // why Postfix cannot use it as it is configured
	Unanswered string   `json:"unanswered,omitempty"`   // why Postfix could not be asked what it reads
	Error      string   `json:"error,omitempty"`
}

// newTable returns nil when no table is configured.
func (a *app) newTable(ctx context.Context, c config, lists []list) *table {
	p := c.Postfix
	if p == nil {
		return nil
	}
	t := &table{app: a, config: *p, state: c.State, local: a.localSay(c)}
	t.lists, t.views = lists, make([]*namedView, len(lists))
	dialect, errDialect := dialectOfTable(ctx, *p, c.State)
	t.dialect = dialect
	t.report = tableReport{Map: string(p.Map), Type: string(p.Type), Dialect: t.dialect.String(), Warning: p.obstacle(ctx)}
	sources, _, errSources := p.neglected(ctx, t.local.sources, c.daneMap())
	t.local.sources = sources
	if err := cmp.Or(errDialect, errSources); err != nil {
		t.report.Unanswered = "Postfix does not answer, so the table keeps its dialect, and no domain is left out: " + flat{err}.Error()
	}
	return t
}

// sink returns what list i's client calls with its new view.
func (t *table) sink(ctx context.Context, i int) mirror.Sink {
	return func(v mirror.View) error {
		t.views[i] = &namedView{t.lists[i].name, v}
		return t.write(ctx)
	}
}

// write brings the file up to date. It does nothing when the file is as it should be. The kill switch, and a list that comes
// into force, take no lock and wait for nobody: so what the table is made from is looked at again, before the new one goes
// in, which may have taken postmap seconds to compile, and after it. Then whoever writes last has seen the last change.
func (t *table) write(ctx context.Context) error {
	given := slices.Clone(t.views)
	for again := true; again; {
		basis := t.basis()
		still := func() bool { return t.basis() == basis }
		text, err := t.text()
		if err == nil && text != nil {
			var changed bool
			changed, err = install(ctx, t.config, text, still)
			if errors.Is(err, syscall.ENOSPC) && t.report.Off != "" && os.Truncate(string(t.config.Map), 0) == nil {
				// That is an empty table, or makes room for one: who reads the compiled form does not read the text.
				changed, err = install(ctx, t.config, text, still)
			}
			t.report.Written = t.report.Written || changed
		}
		if err != nil && !errors.Is(err, errOvertaken) {
			t.report.Error = flat{err}.Error()
			return fmt.Errorf("%w: %w", errTable, err)
		}
		if again = !still(); again {
			t.views, t.report.Off = slices.Clone(given), ""
		}
	}
	return nil
}

// basis changes with the kill switch and with the lists that are held.
func (t *table) basis() string {
	var b strings.Builder
	fmt.Fprint(&b, readSwitch(t.state) != nil)
	for _, l := range t.lists {
		b.WriteString("\n" + l.client.Mark())
	}
	return b.String()
}

// text is the table as it should be. It is nil when that cannot be told, because no list is held or one is damaged; then
// the old table stays, but not beyond its end.
func (t *table) text() (rendering, error) {
	if off := readSwitch(t.state); off != nil {
		t.report.Off = off.Reason
		return literal([]byte("# TLS policy table for Postfix (smtp_tls_policy_maps): empty. Everything is switched off (starttls-policy enable).\n")), nil
	}
	t.report.Incomplete = true
	known := false
	for i := range t.lists {
		if !t.load(i) {
			return t.unknown("what the lists say is not known at the moment")
		}
		known = known || t.views[i].Release != nil
	}
	if !known {
		return t.unknown("none was fetched yet: starttls-policy update")
	}
	t.report.Incomplete = false
	s, err := settle(t.views, t.local)
	if err != nil {
		return nil, err
	}
	t.report.OwnFirst = len(s.leftOut)
	return func(w io.Writer) error {
		report, err := s.table(w, t.views, mta.Options{Dialect: t.dialect, ExactOnly: t.config.ExactOnly})
		if err == nil { // it is about the whole
			t.report.take(report)
		}
		return err
	}, nil
}

// load reads list i unless its client has given a view, and reports whether it is known what the list says. One that
// was never fetched says nothing.
func (t *table) load(i int) bool {
	if t.views[i] != nil {
		return true
	}
	view, ok := loadView(t.lists[i])
	t.views[i] = view
	return ok
}

// loadView reads a list; ok is false, and the view nil, when it cannot be known what the list says.
func loadView(l list) (view *namedView, ok bool) {
	o, err := l.client.Load()
	if err != nil && !errors.Is(err, fs.ErrNotExist) || o.Damaged != nil && o.Release == nil {
		return nil, false
	}
	return &namedView{l.name, o.View}, true
}

func (r *tableReport) take(from mta.Report) {
	r.Lines, r.Testing = from.Emitted, from.Testing
	r.Wider, r.Omitted, r.Refused = names(from.SuffixWide), names(from.Omitted), refusals(from)
}

// refusals are "domain: why".
func refusals(from mta.Report) []string {
	var out []string
	for _, f := range from.Refused {
		out = append(out, fmt.Sprintf("%s: %v", f.Domain, f.Err))
	}
	return out
}

func names(domains []policy.Domain) []string {
	out := make([]string, len(domains))
	for i, d := range domains {
		out[i] = d.String()
	}
	return out
}

// settled is what all lists and this machine's administrator say together.
type settled struct {
	list    policy.List
	header  mta.Header // of the first list that holds a release
	expired bool       // all of them; list has what the administrator says then, and nothing else
	leftOut []leftOut  // not in list: their own policies come first
}

func settle(views []*namedView, local localSay) (settled, error) {
	s := settled{expired: true}
	for _, v := range views {
		if v.Release == nil {
			continue
		}
		if s.header.Origin == "" {
			s.header = mta.Header{Origin: v.Release.Origin, Release: uint64(v.Release.Release), Expires: v.Release.Expires, Digest: v.Release.ListDigest}
		}
		s.expired = s.expired && v.Freshness == mirror.Expired && v.List.Len() == 0
	}
	if s.expired {
		var err error
		s.list, err = local.alone()
		return s, err
	}
	merged, err := merge(views)
	if err == nil {
		s.list, s.leftOut, err = local.apply(merged)
	}
	return s, err
}

// table writes all lists as one table.
func (s settled) table(w io.Writer, views []*namedView, o mta.Options) (mta.Report, error) {
	o.Header = s.header
	head := ""
	if len(views) > 1 {
		head = membersText(views)
	}
	if n := len(s.leftOut); n > 0 && !s.expired {
		head += fmt.Sprintf("# Listed domains without a line, for what they say themselves comes first: %d (starttls-policy status names them).\n", n)
	}
	if _, err := io.WriteString(w, head); err != nil {
		return mta.Report{}, err
	}
	switch {
	case s.expired && s.list.Len() == 0:
		return mta.Report{}, mta.PostfixExpired(w, o)
	case s.expired:
		return mta.PostfixOwn(w, s.list.All(), "they have EXPIRED (starttls-policy status)", o)
	}
	return mta.Postfix(w, s.list.All(), o)
}

// membersText names the lists in comment lines. Names and origins are printable ASCII without line ends.
func membersText(views []*namedView) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made from %d lists; the first that names a domain decides about it.\n", len(views))
	for _, v := range views {
		if v.Release == nil {
			fmt.Fprintf(&b, "# list %s: none yet\n", v.name)
			continue
		}
		fmt.Fprintf(&b, "# list %s: release %d, expires %s, %d domains\n", v.name, v.Release.Release,
			v.Release.Expires.Format(policy.TimeFormat), v.List.Len())
	}
	return b.String()
}

// merge takes each domain once, with the policy of the first list that names it.
func merge(views []*namedView) (policy.List, error) {
	if len(views) == 1 {
		return views[0].List, nil
	}
	var entries []policy.Entry
	taken := map[policy.Domain]bool{}
	for _, v := range views {
		for _, e := range v.List.Entries() {
			if !taken[e.Domain] {
				taken[e.Domain] = true
				entries = append(entries, e)
			}
		}
	}
	return policy.NewList(entries)
}

// unknown is the table while nobody knows what the lists say, say because the disk lost their state; why is for its reader.
// Nil is the old table, which stays until the list that it was made from expires; else it would be enforced for ever.
func (t *table) unknown(why string) (rendering, error) {
	old, err := headOf(string(t.config.Map))
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	expires, dated := expiryOf(old)
	if dated && t.local.now.Before(expires) {
		return nil, nil
	}
	own, err := t.local.alone()
	switch {
	case err != nil:
		return nil, err
	case own.Len() == 0 && missing:
		return nil, nil
	case own.Len() == 0 && dated:
		return literal([]byte("# TLS policy table for Postfix (smtp_tls_policy_maps): empty. The list that it was made from is lost, and has expired.\n")), nil
	case own.Len() == 0:
		return literal([]byte("# TLS policy table for Postfix (smtp_tls_policy_maps): empty. No list is in force: " + why + ".\n")), nil
	}
	var buf bytes.Buffer
	report, err := mta.PostfixOwn(&buf, own.All(), why, mta.Options{Dialect: t.dialect, ExactOnly: t.config.ExactOnly})
	t.report.take(report)
	return literal(buf.Bytes()), err
}

// headOf is the beginning of a table, in which it says where it comes from: those of many lists stand in front.
func headOf(path string) (string, error) {
	f, err := durable.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(data), err
}

// expiryOf finds in a table's first lines when the list ends that it was made from.
func expiryOf(table string) (expires time.Time, ok bool) {
	for text := range strings.Lines(table) {
		at, found := strings.CutPrefix(strings.TrimSuffix(text, "\n"), "# expires ")
		if !found && strings.HasPrefix(text, "#") {
			continue
		}
		expires, err := policy.ParseTime(at)
		return expires, found && err == nil
	}
	return time.Time{}, false
}
