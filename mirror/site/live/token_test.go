package live

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A token is good once, for the network that asked for it, for a quarter of an hour, and only as it was given.
func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	tokenOf := func(from string) string { return w.token(from) }
	fresh := tokenOf(home)
	forged := newTokens().give("192.0.2.7", w.Now()).String()
	late, err := parseToken(fresh)
	must(t, err)
	late.end += 3600
	for name, try := range map[string]func() *httptest.ResponseRecorder{
		"none":       func() *httptest.ResponseRecorder { return w.do(post("a.example", ""), home) },
		"of another": func() *httptest.ResponseRecorder { return w.do(post("a.example", tokenOf("198.51.100.1:1")), home) },
		"of another /64": func() *httptest.ResponseRecorder {
			return w.do(post("a.example", tokenOf("[2001:db8:0:1::1]:1")), "[2001:db8:0:2::1]:1")
		},
		"forged":          func() *httptest.ResponseRecorder { return w.do(post("a.example", forged), home) },
		"with more time":  func() *httptest.ResponseRecorder { return w.do(post("a.example", late.String()), home) },
		"in another form": func() *httptest.ResponseRecorder { return w.do(post("a.example", fresh+"\n"), home) },
		"too old": func() *httptest.ResponseRecorder {
			old := tokenOf(home)
			w.pass(tokenLife)
			return w.do(post("a.example", old), home)
		},
		"from a clock that was set back": func() *httptest.ResponseRecorder {
			early := tokenOf(home)
			w.pass(-time.Hour)
			defer w.pass(time.Hour)
			return w.do(post("a.example", early), home)
		},
	} {
		if rec := try(); rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), `name="token"`) {
			t.Errorf("token %s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if w.seen("a.example") != 0 {
		t.Fatal("a domain was looked at without a token")
	}
	good := tokenOf("[2001:db8:0:1::1]:1")
	if rec := w.do(post("a.example", good), "[2001:db8:0:1:ffff::2]:9"); rec.Code != 303 {
		t.Errorf("another address of the same /64: %d %s", rec.Code, rec.Body)
	}
	if rec := w.do(post("b.example", good), "[2001:db8:0:1::1]:1"); rec.Code != http.StatusForbidden {
		t.Errorf("a token twice: %d", rec.Code)
	}
	// A name that is none does not cost the token.
	kept := tokenOf(home)
	for _, name := range []string{"", "localhost", "192.0.2.1", "a..example", "<script>alert(1)</script>", "a.example/x", strings.Repeat("a", 300)} {
		rec := w.do(post(name, kept), home)
		if rec.Code != http.StatusBadRequest || strings.Contains(rec.Body.String(), "<script>alert") {
			t.Errorf("%q: %d %s", name, rec.Code, rec.Body)
		}
	}
	if rec := w.do(post("c.example", kept), home); rec.Code != 303 {
		t.Errorf("after names that are none: %d", rec.Code)
	}
}

// Used tokens are forgotten only when they are void; until there is room again nobody gets in.
func TestSpentTokensAreKept(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ts := newTokens()
	first := ts.give("a", now)
	must(t, ts.take(first, now))
	for len(ts.spent) < maxSpent {
		must(t, ts.take(ts.give("a", now), now))
	}
	if err := ts.take(ts.give("a", now), now); !errors.Is(err, errFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := ts.take(first, now); !errors.Is(err, errToken) {
		t.Errorf("the first, again: %v", err)
	}
	later := now.Add(tokenLife)
	if err := ts.take(ts.give("a", later), later); err != nil || len(ts.spent) != 1 {
		t.Errorf("%d are remembered, %v", len(ts.spent), err)
	}
}

func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add(newTokens().give("192.0.2.1", time.Unix(1_800_000_000, 0)).String())
	ts := newTokens()
	text := ts.give("192.0.2.9", time.Unix(1_800_000_000, 0)).String()
	for c := range strings.SplitSeq("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "") {
		f.Add(text[:len(text)-1] + c) // base64 has spare bits at the end
	}
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := parseToken(text)
		if err == nil && tok.String() != text {
			t.Errorf("%q is also %q", text, tok)
		}
		if _, err := ts.check(text, "192.0.2.1", time.Unix(1_800_000_000, 0)); err == nil {
			t.Errorf("%q passes", text)
		}
	})
}
