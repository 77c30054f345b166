package site

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

func usePageText(t testing.TB, m *Model) string {
	t.Helper()
	return html.UnescapeString(rendered(t, m, "site/use/index.html"))
}

// The page has, to the letter, the settings that the exports come with, and the lines that join prints.
func TestUseHasEverySetting(t *testing.T) {
	o := story(t)
	m := o.read(Extra{Address: "https://list.operator.example/"})
	page := usePageText(t, m)
	join := "starttls-policy join https://list.operator.example/ --fingerprint " + newBuilder(m).fingerprint()
	want := []string{join + "<", join + " --daemon<", ">" + strings.Join(mta.MainTable("lmdb"), "\n") + "<", ">" + strings.Join(mta.MainDaemon(mta.Floor), "\n") + "<"}
	for _, f := range mta.Formats() {
		want = append(want, join+" --mta "+f.Name+"<", "<code>"+strings.TrimSuffix(f.Settings(mta.Folder+"/"+f.File), "\n")+"</code>", f.Enforces, f.Cannot)
	}
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page does not have %q", w)
		}
	}
	if page := usePageText(t, o.read(Extra{})); !strings.Contains(page, `starttls-policy join "$PWD" --fingerprint `) || !strings.Contains(page, `src="https://list.example/site/domain/`+sample+`/badge.svg"`) {
		t.Error(page)
	}
}

// The domain to test against is named, with what a mail server must say; whether the list has it as it has to be is told.
func TestUseTestDomain(t *testing.T) {
	o := whole(t)
	o.publish(set("broken.example", policy.Enforce))
	for _, c := range []struct {
		domain string
		want   []string
	}{
		{"", []string{"is not named here yet"}},
		{"broken.example", []string{`<a href="../domain/broken.example/index.html">`, "status=deferred (" + mta.NotVerified + ")", "sendmail postmaster@broken.example", "starttls-policy explain broken.example"}},
		{"never.example", []string{"not on the list as <code>enforce</code> yet", "<p>never.example is broken"}},
	} {
		page := usePageText(t, o.read(Extra{TestDomain: c.domain}))
		for _, w := range c.want {
			if !strings.Contains(page, w) {
				t.Errorf("%q: no %q", c.domain, w)
			}
		}
		if c.domain == "broken.example" && strings.Contains(page, " yet</strong>") {
			t.Error("it is said not to be listed")
		}
	}
	for _, bad := range []string{"Broken.example", "x; rm -rf .example", "com"} {
		if _, err := Read(t.Context(), o.mirror, o.chain(), Extra{TestDomain: bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
