package site

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/starttls-everywhere/policylist/policy"
)

// text is what a reader of the page sees, without its navigation, in one line.
func text(t *testing.T, page []byte) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(string(page)))
	must(t, err)
	var main *html.Node
	walk(doc, func(n *html.Node) {
		if n.Data == "main" {
			main = n
		}
	})
	var b strings.Builder
	var add func(n *html.Node)
	add = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			add(c)
		}
		b.WriteString(" ")
	}
	add(main)
	return strings.NewReplacer(" .", ".", " ,", ",").Replace(strings.Join(strings.Fields(b.String()), " "))
}

// Each story of keys, and what the page of the log says and does not say of it.
func TestLogPage(t *testing.T) {
	never := func() *operator {
		o := newOperator(t)
		o.trust, o.unwitnessed, o.cosign = nil, true, false
		o.rotate()
		o.pending = nil
		o.publish(set("a.example", policy.Testing))
		return o
	}
	for name, tt := range map[string]struct {
		o    *operator
		want []string
		not  []string
	}{
		"witnessed": {story(t), []string{
			"Made 1 March 2026, 15:00 UTC", "Fresh until 3 March 2026, 15:00 UTC.", "Expires 15 March 2026, 15:00 UTC.", "Release 3, with 2 domains", "Entries 8",
			"w1, witness.example 1 March 2026, 15:00 UTC", "A checkpoint counts with the cosignatures that trust version 1 asks for: quorum w1", "— witness.example ",
			"The first version that this page knows.", "In force since release 1, 1 March 2026, 13:00 UTC",
		}, []string{"Not witnessed", "What it changed", "Entries without effect"}},
		"no witnesses": {never(), []string{"Not witnessed: trust version 1 asks for no witness, so a copy made for you alone would go unnoticed.", "Witnesses none"},
			[]string{"A checkpoint counts", "Cosigned this checkpoint"}},
		"new keys": {func() *operator {
			o := story(t)
			o.release = newSigner("release of the second version")
			o.rotate()
			o.publish()
			o.rotate()
			o.publish()
			return o
		}(), []string{"trust version 3", "Version 3 ", "Version 2 ", "Version 1 ", "In force since release 4, 1 March 2026, 16:00 UTC", "release key: ", " came", " went",
			"expires: 2028-03-03T12:00:00Z instead of 2028-03-02T12:00:00Z"}, []string{"no release yet"}},
		"witnesses that came": {func() *operator {
			o := never()
			o.unwitnessed, o.cosign = false, true
			o.rotate()
			o.publish()
			return o
		}(), []string{"witnesses: quorum none went", "witnesses: quorum w1 came", "A checkpoint counts"}, []string{"Not witnessed"}},
		"rubbish in the log": {whole(t), []string{"Entries without effect", "Evidence of release 4"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sink := fresh(t, tt.o.read(Extra{}))
			got := text(t, sink.objects["site/log/index.html"])
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(got, not) {
					t.Errorf("%q in\n%s", not, got)
				}
			}
			checkPage(t, sink, "site/log/index.html")
		})
	}
}

// The fingerprint for join is that of the newest version; belief for an audit begins with the one that the site began with.
func TestLogPageCommands(t *testing.T) {
	o := whole(t)
	first, second := fmt.Sprintf("%x", o.trust[0].Digest()), fmt.Sprintf("%x", o.trust[1].Digest())
	for address, want := range map[string][]string{
		"": {"starttls-list trust show trust/1", "starttls-list audit . --trust trust/1"},
		"https://list.example": {"curl -fsS -o trust-1 https://list.example/trust/1", "starttls-list trust show trust-1", "starttls-list audit https://list.example --trust trust-1",
			"starttls-policy join https://list.example/ --fingerprint " + second},
		"s3://bucket/a b": {"starttls-list audit 's3://bucket/a b' --trust trust-1"},
	} {
		page := fresh(t, o.read(Extra{Address: address})).objects["site/log/index.html"]
		var commands []string
		doc, err := html.Parse(strings.NewReader(string(page)))
		must(t, err)
		walk(doc, func(n *html.Node) {
			if n.Data == "pre" && attribute(n, "class") == "command" {
				commands = append(commands, n.FirstChild.FirstChild.Data)
			}
		})
		for _, c := range want {
			if !strings.Contains(strings.Join(commands, "\n")+"\n", c+"\n") {
				t.Errorf("%q: no %s in %q", address, c, commands)
			}
		}
		got := text(t, page)
		if !strings.Contains(got, "starttls-policy join --fingerprint takes, the SHA-256 of the text of trust version 2.") || strings.Count(got, second) < 2 || !strings.Contains(got, first) {
			t.Errorf("%q: %s", address, got)
		}
	}
}

// A witness that is behind makes the list old sooner.
func TestLogPageOfLateWitnesses(t *testing.T) {
	o := story(t)
	o.now = o.now.Add(-20 * time.Minute) // the next release is dated an hour later, and its cosignature as well
	o.publish()
	m := o.read(Extra{})
	m.Checkpoint.QuorumTime = m.Newest().Timestamp.Add(-30 * time.Minute)
	if got := text(t, fresh(t, m).objects["site/log/index.html"]); !strings.Contains(got, "Fresh until 3 March 2026, 15:10 UTC.") {
		t.Error(got)
	}
}

// A page's ages are told by the reader's clock, and without a script by the time itself.
func TestAgesAreTimes(t *testing.T) {
	page := string(fresh(t, story(t).read(Extra{})).objects["site/log/index.html"])
	if n := strings.Count(page, `<time datetime="2026-03-01T15:00:00Z" data-age>1 March 2026, 15:00 UTC</time>`); n != 2 {
		t.Errorf("%d ages in %s", n, page)
	}
}
