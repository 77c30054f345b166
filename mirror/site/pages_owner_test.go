package site

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	policyproof "github.com/starttls-everywhere/policylist/policy/proof"
)

// rendered is one page of a site, which is made quicker than all of it.
func rendered(t testing.TB, m *Model, path string) string {
	t.Helper()
	b := newBuilder(m)
	must(t, b.addPages())
	i := slices.IndexFunc(b.objects, func(o object) bool { return o.path == path })
	if i < 0 {
		t.Fatalf("there is no %s", path)
	}
	data, err := b.objects[i].render()
	must(t, err)
	return string(data)
}

var ownerPages = []string{"join", "change", "leave"}

// explained are the codes on a page, and the texts of its list items.
func explained(t testing.TB, page []byte) (ids []string, text string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(string(page)))
	must(t, err)
	var all func(n *html.Node) string
	all = func(n *html.Node) string {
		if n.Type == html.TextNode {
			return n.Data
		}
		var b strings.Builder
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			b.WriteString(all(c))
		}
		return b.String()
	}
	walk(doc, func(n *html.Node) {
		if n.Data == "strong" && n.Parent.Data == "li" && n.Parent.Parent.Parent.Data == "details" {
			ids = append(ids, all(n))
		}
	})
	return ids, all(doc)
}

// Each code of the kinds that an owner may meet is on one of the three pages, with the text of its table, and no other is; the
// gate's own are where its table can hold them, each reason is where its row is.
func TestOwnersCodes(t *testing.T) {
	o := whole(t)
	codes := append(ownCodes(), policy.Code{ID: "cert.name", Severity: policy.Error, Summary: "<b>name</b>", Fix: "a & b"},
		policy.Code{ID: "release.startles", Severity: policy.Warning, Summary: "not an owner's", Fix: "x"})
	sink := fresh(t, o.read(Extra{Codes: codes}))
	on := map[string][]string{}
	for _, name := range ownerPages {
		ids, text := explained(t, sink.objects["site/"+name+"/index.html"])
		for _, id := range ids {
			on[id] = append(on[id], name)
			i := slices.IndexFunc(codes, func(c policy.Code) bool { return c.ID == id })
			if i < 0 || !strings.Contains(text, codes[i].Summary) || !strings.Contains(text, ": "+codes[i].Fix) {
				t.Errorf("%s: %s is not as its table has it", name, id)
			}
		}
	}
	for _, c := range codes {
		owners := slices.ContainsFunc(CodeGroups(), func(g CodeGroup) bool { return g.Has(c.ID) })
		if (len(on[c.ID]) > 0) != owners {
			t.Errorf("%s is on %q", c.ID, on[c.ID])
		}
		for _, aim := range gate.Aims(c.ID) {
			if !slices.Contains(on[c.ID], string(aim)) {
				t.Errorf("%s holds who wants to %s, and is on %q", c.ID, aim, on[c.ID])
			}
		}
	}
	for _, r := range gate.Table() {
		page := string(sink.objects["site/"+string(r.Aim)+"/index.html"])
		for _, cell := range []string{r.Change, r.STS, r.Owner, r.Curated} {
			for _, m := range marks(cell) {
				if !strings.Contains(page, html.EscapeString(m.Text)) {
					t.Errorf("%s does not say %q", r.Aim, m.Text)
				}
			}
		}
		for _, id := range r.Reasons {
			if !slices.Equal(on[id], []string{string(r.Aim)}) {
				t.Errorf("the reason %s is on %q, its row on %s", id, on[id], r.Aim)
			}
		}
	}
}

// The records on the pages count, once they have a digest and a day.
func TestOwnersRecords(t *testing.T) {
	m := story(t).read(Extra{})
	for _, c := range []struct {
		page string
		kind policyproof.Kind
	}{{"join", policyproof.Change}, {"change", policyproof.Change}, {"change", policyproof.Emergency}, {"leave", policyproof.Remove}} {
		page := html.UnescapeString(rendered(t, m, "site/"+c.page+"/index.html"))
		found := false
		for _, part := range strings.Split(page, "_starttls-policy."+sample+`. IN TXT "`)[1:] {
			text, _, _ := strings.Cut(part, `"`)
			text = strings.NewReplacer("YYYY-MM-DD", "2026-04-01", "DIGEST", strings.Repeat("0", 64)).Replace(text)
			r := policyproof.Parse([]string{text}, began)
			found = found || r.Status == policyproof.OK && r.Kind == c.kind
		}
		if !found || !strings.Contains(page, fmt.Sprintf("at most %d days ahead", policyproof.MaxDays)) {
			t.Errorf("%s has no record %s, or another bound", c.page, c.kind)
		}
	}
}

// A pull request begins where the forge has it; where nobody knows the repository, the page says so.
func TestOwnersRepository(t *testing.T) {
	o := story(t)
	for repository, want := range map[string]string{
		"":                                   "the operator has not said here yet",
		"https://github.com/operator/list":   `href="https://github.com/operator/list/compare"`,
		"https://gitlab.com/operator/list/":  `href="https://gitlab.com/operator/list/-/merge_requests/new"`,
		"https://git.operator.example/~list": `href="https://git.operator.example/~list"`,
	} {
		page := rendered(t, o.read(Extra{Repository: repository}), "site/join/index.html")
		if !strings.Contains(page, want) {
			t.Errorf("%q: no %s", repository, want)
		}
	}
	for _, bad := range []string{"http://github.com/operator/list", "javascript:alert(1)", "https://a@b.example/x", "https://b.example", "https://b.example/x?y", "https://b.example/\nx", "git@github.com:operator/list"} {
		if _, err := Read(t.Context(), o.mirror, o.chain(), Extra{Repository: bad}); !errors.Is(err, ErrExtra) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The mirror's address is on every page: one with a password in it, or with anything that has to be quoted, is not for readers.
func TestOwnersAddress(t *testing.T) {
	for _, good := range []string{"", ".", "https://list.example", "https://list.example/", "http://[2001:db8::1]:8080/a/b", "https://list.example/~list/", "s3://bucket/a b"} {
		if err := (Extra{Address: good}).Check(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"https://user:secret@list.example/", "s3://user:secret@bucket/", "https://list.example/\"><script>alert(1)</script>", "https://list.example/$(id)", "https://list.example/a b",
		"https://list.example/?a=b", "https://list.example/#a", "https://list.example/\nx", "javascript:alert(1)", "/srv/list", "https://", "https:///a", "https://list.example:port/"} {
		if err := (Extra{Address: bad}).Check(); !errors.Is(err, ErrExtra) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
