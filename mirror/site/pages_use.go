package site

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// usePage is for administrators of mail servers, and for whoever shows a badge.
type usePage struct {
	view
	Fingerprint string
	Join        string
	Setups      []setup
	Others      []setup
	NotVerified string
	Test        *testDomain
	Badges      []badge
	BadgeHTML   string
}

// setup is how one mail server is set up: with what "join" prints, and the tests of delivery use.
type setup struct {
	Name, Server     string
	Enforces, Cannot string
	Join             string // "" for what the page begins with
	Lines            string // to add to the server's configuration
}

// testDomain is the domain that the operator keeps broken.
type testDomain struct {
	Name, Page string
	Listed     bool // as enforce, so that it tests anything
	Send       string
}

// postfixType is the table type of Debian's package postfix-lmdb; "join" finds out which ones there are.
const postfixType = "lmdb"

func (b *builder) addUse(p *pages) {
	b.add("site/use/index.html", func() ([]byte, error) { return p.render("use", b.use()) })
}

func (b *builder) use() usePage {
	join := fmt.Sprintf("starttls-policy join %s --fingerprint %s", b.joinAddress(), b.fingerprint())
	u := usePage{view: b.view("Use the list, "+b.Origin, "use", "../"), Fingerprint: b.fingerprint(), Join: join, NotVerified: mta.NotVerified,
		Badges: badges(), BadgeHTML: b.badgeHTML()}
	u.Setups = []setup{
		{Name: "a table", Server: "Postfix", Lines: lines(mta.MainTable(postfixType))},
		{Name: "the daemon", Server: "Postfix", Join: join + " --daemon", Lines: lines(mta.MainDaemon(mta.Floor))},
	}
	for _, f := range mta.Formats() {
		u.Others = append(u.Others, setup{f.Name, f.Server, f.Enforces, f.Cannot, join + " --mta " + f.Name, strings.TrimSuffix(f.Settings(mta.Folder+"/"+f.File), "\n")})
	}
	if d, err := policy.ParseDomain(b.extra.TestDomain); err == nil {
		p, listed := b.List.Lookup(d)
		u.Test = &testDomain{d.String(), "../" + b.domainPage(d.String()), listed && p.Mode == policy.Enforce, "echo test | sendmail postmaster@" + d.String()}
		if !b.known(d.String()) {
			u.Test.Page = ""
		}
	}
	return u
}

func lines(l []string) string { return strings.Join(l, "\n") }

// joinAddress is how "join" is told of the mirror: it takes no relative folder.
func (b *builder) joinAddress() string {
	if b.Address == "." {
		return `"$PWD"`
	}
	return shellWord(b.Address)
}

// webAddress is where the site is for browsers, ending in a slash; where nobody said, a name that stands for it.
func (b *builder) webAddress() string {
	if u, err := url.Parse(b.Address); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
		return strings.TrimSuffix(b.Address, "/") + "/"
	}
	return "https://list.example/"
}

// badgeHTML is what shows a domain's badge on a page of its own.
func (b *builder) badgeHTML() string {
	address := b.webAddress() + "site/"
	image := "domain/" + sample + "/badge.svg"
	if b.large() {
		image = "badge/enforce.svg"
	}
	return fmt.Sprintf(`<a href="%s"><img src="%s" alt="%s on the STARTTLS policy list"></a>`, address+b.domainPage(sample), address+image, sample)
}
