package site

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// sample stands for the reader's domain on pages that are about none.
const sample = "example.org"

// ownerPage is one of the three checklists for owners of domains. Nothing in it is from a release.
type ownerPage struct {
	view
	Rows       []gate.Row
	Groups     []groupView
	Waiting    policy.Code // what a hold looks like
	Records    map[string]string
	Repository string // "" where the operator did not say
	Propose    string // where a pull request begins
	MaxDays    int    // of a proof
	Service    int64  // max_age in seconds that is the owner's word by itself
	Middle     int64  // that takes the proof besides
	Example    string
	Leave      string
}

func (b *builder) addOwnerPages(p *pages) {
	for _, o := range []struct {
		aim   gate.Aim
		title string
	}{{gate.AimJoin, "Join the list"}, {gate.AimChange, "Change an entry"}, {gate.AimLeave, "Leave the list"}} {
		name := string(o.aim)
		b.add("site/"+name+"/index.html", func() ([]byte, error) { return p.render(name, b.owner(o.aim, o.title)) })
	}
}

func (b *builder) owner(aim gate.Aim, title string) ownerPage {
	p := ownerPage{view: b.view(title+", "+b.Origin, string(aim), "../"), Groups: b.groups(aim), Waiting: b.Code("gate.waiting"),
		Repository: b.extra.Repository, Propose: proposeLink(b.extra.Repository), MaxDays: proof.MaxDays,
		Service: int64(mtasts.SelfService.Seconds()), Middle: int64(mtasts.Admissible.Seconds()), Example: sample, Leave: leaveRecord(sample)}
	for _, r := range gate.Table() {
		if r.Aim == aim {
			p.Rows = append(p.Rows, r)
		}
	}
	p.Records = map[string]string{
		"change":    proofRecord(sample, proof.Record{Kind: proof.Change, Change: "DIGEST"}),
		"emergency": proofRecord(sample, proof.Record{Kind: proof.Emergency}),
	}
	return p
}

// proofRecord is a proof of control as a zone file has it. Its day is the reader's to choose: a page has no clock.
func proofRecord(name string, r proof.Record) string {
	text, _, _ := strings.Cut(r.String(), "exp=")
	return fmt.Sprintf(`%s.%s. IN TXT "%sexp=YYYY-MM-DD"`, proof.Name, name, text)
}

// leaveRecord is the proof of control that takes a domain off the list.
func leaveRecord(name string) string { return proofRecord(name, proof.Record{Kind: proof.Remove}) }

// comparing are the forges whose page for a new pull request is at /compare below a repository.
var comparing = []string{"github.com", "codeberg.org"}

// proposeLink is where a pull request to a repository begins, as far as its forge is known; else the repository.
func proposeLink(repository string) string {
	u, err := url.Parse(repository)
	switch {
	case repository == "" || err != nil:
		return ""
	case slices.Contains(comparing, u.Host):
		return strings.TrimSuffix(repository, "/") + "/compare"
	case u.Host == "gitlab.com":
		return strings.TrimSuffix(repository, "/") + "/-/merge_requests/new"
	}
	return repository
}

var plainRepository = regexp.MustCompile(`^https://[a-z0-9][a-z0-9.-]*[a-z0-9](:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)+/?$`)

// Check keeps what the operator says of itself from being anything else. Read does it, too. Errors wrap ErrExtra.
func (e Extra) Check() error {
	if e.TestDomain != "" {
		if _, err := policy.ParseDomain(e.TestDomain); err != nil {
			return fmt.Errorf("%w: the domain to test against: %w", ErrExtra, err)
		}
	}
	if err := checkAddress(e.Address); err != nil {
		return err
	}
	if err := checkProbe(e.ProbeURL); err != nil {
		return err
	}
	return checkRepository(e.Repository)
}

var plainAddress = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~%+@=:-]*)*$`)

// checkAddress keeps out of commands, of links, and of what people copy into pages of their own, whatever is no plain address of
// a mirror: first of all the password in an address by which only the operator reads it.
func checkAddress(address string) error {
	if address == "" || address == "." || strings.HasPrefix(address, "s3://") && !strings.Contains(address, "@") {
		return nil
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || !plainAddress.MatchString(address) || len(address) > 300 {
		return fmt.Errorf("%w: the mirror has no address for readers, such as https://list.example/, without a password, a query or quotes", ErrExtra)
	}
	return nil
}

// checkRepository keeps anything out of links that is no repository's address.
func checkRepository(address string) error {
	if address != "" && (!plainRepository.MatchString(address) || len(address) > 300) {
		return fmt.Errorf("%w: the repository %q is no address like https://forge.example/operator/list", ErrExtra, address)
	}
	return nil
}

// marked is a piece of a text; what stood between ` marks is code.
type marked struct {
	Text string
	Code bool
}

func marks(text string) (out []marked) {
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			out = append(out, marked{part, i%2 == 1})
		}
	}
	return out
}
