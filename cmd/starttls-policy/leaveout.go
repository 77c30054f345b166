package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/leaveout"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// leftOutBook keeps what listed domains said about themselves, in the state folder.
const leftOutBook = "left-out"

// maxShown is how many domains a person is shown; --json has all.
const maxShown = 20

// ownWord is what the listed domains say about themselves.
type ownWord struct {
	book *leaveout.Book
	live *socketmap.Live
	err  error // why some of it could not be read
}

// leftOut is a listed domain that a table does not name.
type leftOut struct {
	domain policy.Domain
	why    leaveout.Reason
}

func (l leftOut) String() string { return fmt.Sprintf("%s: it %s", l.domain, l.why.Text) }

// ownWord opens the book, once for the whole run; nil when [leave-out] has no sources.
func (a *app) ownWord(c config) *ownWord {
	if c.LeaveOut == nil || !c.LeaveOut.Sources.Any() {
		return nil
	}
	if a.own == nil {
		a.own = &ownWord{live: &socketmap.Live{Now: a.now}}
		a.own.book, a.own.err = leaveout.Open(filepath.Join(c.State, leftOutBook), a.own.live)
	}
	return a.own
}

// leaves tells whether d, with what the lists and the administrator say of it, is left out.
func (l localSay) leaves(d policy.Domain, p policy.Policy) (leftOut, bool) {
	if l.own == nil || p.Mode != policy.Enforce {
		return leftOut{}, false
	}
	why, out := l.own.book.Reason(d, p, l.sources)
	return leftOut{d, why}, out
}

// daneMap is the table that the administrator says does DANE, "" for none.
func (c config) daneMap() string {
	if c.LeaveOut == nil {
		return ""
	}
	return c.LeaveOut.DANEMap
}

// neglected names the configured sources that this Postfix does not look at, and why. What they say must not take a domain
// out of the table: its mail would go without any protection. Where there is no Postfix to ask, the configuration is believed;
// where one does not answer, which is the error, none is followed. daneMap is a table that does DANE: most that look at
// MTA-STS policies do not, and their names do not tell.
func (p postfixConfig) neglected(ctx context.Context, s leaveout.Sources, daneMap string) (rest leaveout.Sources, why []string, err error) {
	if !s.Any() {
		return s, nil, nil
	}
	said := map[string]string{}
	for _, name := range []string{"mail_version", "smtp_tls_policy_maps", "smtp_tls_security_level", "smtp_dns_support_level"} {
		said[name], err = askPostfix(ctx, "-h", name)
		if errors.Is(err, errNoPostfix) {
			return s, nil, nil
		}
		if err != nil {
			return leaveout.Sources{}, []string{"no source is followed, for Postfix does not answer: " + flat{err}.Error()}, err
		}
	}
	maps := said["smtp_tls_policy_maps"]
	resolver := strings.Contains(maps, "socketmap:") || strings.Contains(maps, "tcp:") // nobody asks the domains from a file
	switch {
	case !s.DANE:
	case said["smtp_dns_support_level"] != "dnssec":
		s.DANE = false
		why = append(why, `"dane" is not followed: without smtp_dns_support_level = dnssec this Postfix does no DANE`)
	case !strings.HasPrefix(said["smtp_tls_security_level"], "dane") && !slices.Contains(strings.FieldsFunc(maps, separates), daneMap):
		s.DANE = false
		why = append(why, `"dane" is not followed: neither says smtp_tls_security_level = dane, nor names smtp_tls_policy_maps the dane-map of [leave-out]`)
	}
	if s.STS && !resolver {
		s.STS = false
		why = append(why, `"mta-sts" is not followed: smtp_tls_policy_maps names no resolver (socketmap or tcp) that looks at MTA-STS policies`)
	}
	return s, why, nil
}

// separates reports whether Postfix takes r for a separator in a list of tables.
func separates(r rune) bool { return r == ',' || unicode.IsSpace(r) }

// ownReport says what the listed domains say about themselves.
type ownReport struct {
	Asked      int      `json:"asked"` // by an update
	Unanswered int      `json:"unanswered"`
	Waiting    int      `json:"waiting"` // for the next update
	LeftOut    []string `json:"left_out,omitempty"`
	Neglected  []string `json:"not_followed,omitempty"` // sources, "NAME is not followed: why"
	Error      string   `json:"error,omitempty"`
}

// take fills in who is left out, by what is known now.
func (r *ownReport) take(ctx context.Context, a *app, c config, lists []list) {
	local := a.localSay(c)
	if c.Postfix != nil {
		local.sources, r.Neglected, _ = c.Postfix.neglected(ctx, local.sources, c.daneMap())
	}
	s, err := settleLists(lists, local)
	if err != nil {
		r.Error = flat{err}.Error()
	}
	for _, l := range s.leftOut {
		r.LeftOut = append(r.LeftOut, l.String())
	}
}

// ownStatus is what status tells; nobody is asked. It is nil when [leave-out] has no sources.
func (a *app) ownStatus(ctx context.Context, c config, lists []list) *ownReport {
	own := a.ownWord(c)
	if own == nil {
		return nil
	}
	r := &ownReport{}
	if own.err != nil {
		r.Error = flat{own.err}.Error()
	}
	r.take(ctx, a, c, lists)
	return r
}

// settleLists is settle for lists as they are held. Nothing is in force while one of them cannot be read.
func settleLists(lists []list, local localSay) (settled, error) {
	var views []*namedView
	for _, l := range lists {
		view, ok := loadView(l)
		if !ok {
			return settled{}, nil
		}
		views = append(views, view)
	}
	return settle(views, local)
}

// askDomains asks the listed domains what they say about themselves, as far as it is their turn. Nothing that goes wrong
// here makes an update fail: what was known stays. It returns nil when nobody was to be asked.
func (a *app) askDomains(ctx context.Context, c config, lists []list) *ownReport {
	own := a.ownWord(c)
	if own == nil || readSwitch(c.State) != nil {
		return nil
	}
	r := &ownReport{}
	fail := func(err error) *ownReport {
		r.Error = flat{err}.Error()
		return r
	}
	if own.err != nil {
		fail(own.err)
	}
	domains, err := a.enforced(c, lists)
	if err != nil {
		return fail(err)
	}
	if domains == nil {
		return r // expired, lost or empty: it may come back
	}
	equip := a.equip
	if equip == nil {
		equip = ask
	}
	if err := equip(own.live, *c.LeaveOut); err != nil {
		return fail(err)
	}
	round := own.book.Ask(ctx, domains, c.LeaveOut.Limits)
	r.Asked, r.Unanswered, r.Waiting = round.Asked, round.Unanswered, round.Waiting
	if round.GivenUp {
		fail(errors.New("no domain answered, so the rest was not asked: does the resolver answer?"))
	}
	if err := own.book.Save(); err != nil {
		return fail(err)
	}
	return r
}

// enforced are the domains that would have a line. Those that an override speaks of are not asked.
func (a *app) enforced(c config, lists []list) ([]policy.Domain, error) {
	s, err := settleLists(lists, localSay{overrides: c.Overrides, adopt: c.Adopt, now: a.now()})
	if err != nil {
		return nil, err
	}
	var out []policy.Domain
	for d, p := range s.list.All() {
		if _, over := c.Overrides.Find(d, a.now()); !over && p.Mode == policy.Enforce {
			out = append(out, d)
		}
	}
	return out, nil
}

// ask lets live look at real domains: servers on the Internet, judged by this machine's CA certificates.
func ask(live *socketmap.Live, c leaveOutConfig) error {
	resolver, err := c.Resolver, error(nil)
	if !resolver.IsValid() {
		if resolver, err = discovery.SystemResolver("/etc/resolv.conf"); err != nil {
			return fmt.Errorf("[leave-out]: %w", err)
		}
	}
	if live.DNS, err = discovery.NewClient(discovery.Options{Resolver: resolver, TrustAD: c.TrustAD}); err != nil {
		return fmt.Errorf("[leave-out] resolver: %w", err)
	}
	live.DANE = c.Sources.DANE
	if c.Sources.STS {
		live.Fetcher = &discovery.Fetcher{Allow: discovery.Public, Now: live.Now}
	}
	return nil
}

func (r ownReport) print(w io.Writer) {
	if r.Error != "" {
		line(w, "own policies: what was known stays: %s", r.Error)
	}
	for _, n := range r.Neglected {
		line(w, "own policies: WARNING: %s", n)
	}
	if r.Asked > 0 || r.Waiting > 0 {
		s := fmt.Sprintf("own policies: %s asked", term.Plural(r.Asked, "domain"))
		if r.Unanswered > 0 {
			s += fmt.Sprintf(", %d without an answer: what was known of them stays", r.Unanswered)
		}
		if r.Waiting > 0 {
			s += fmt.Sprintf("; %d wait for the next update", r.Waiting)
		}
		line(w, "%s", s)
	}
	for _, l := range r.LeftOut[:min(len(r.LeftOut), maxShown)] {
		line(w, "left out: %s", l)
	}
	if more := len(r.LeftOut) - maxShown; more > 0 {
		line(w, "left out: and %d more; --json names all", more)
	}
}
