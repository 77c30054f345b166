package main

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// What join writes reads back as what went in, with every key spelled out.
func TestConfigTextRoundTrip(t *testing.T) {
	no := false
	list := listConfig{Name: "a-list.example", Mirrors: []mirrorPlace{"https://list.example/", "/srv/a \"quoted\" folder/ü"}, Expired: "keep"}
	postfix := postfixConfig{Map: "/var/lib/x/table", Type: "lmdb", Dialect: "floor", Postmap: &no, ExactOnly: true}
	text := configText("/var/lib/x", list, &postfix)
	got, err := parseConfig("config.toml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	serve := serveConfig{Mode: 0o660, Sources: []sourceName{"mta-sts", "list"}}
	want := config{State: "/var/lib/x", Lists: []listConfig{list}, Postfix: &postfix, Serve: &serve, Overrides: socketmap.Overrides{}, Adopt: adopted{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back as\n%+v\nwant\n%+v", got, want)
	}
	second := list
	second.Name = "second"
	if got, err = parseConfig("config.toml", []byte(text+listText(second))); err != nil || len(got.Lists) != 2 {
		t.Errorf("with a list appended behind [postfix]: %+v, %v", got, err)
	}
}

// The keys that the file shows as comments are right, too.
func TestConfigTextComments(t *testing.T) {
	list := listConfig{Name: "a", Mirrors: []mirrorPlace{"/srv"}, Expired: "empty"}
	text := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(configText("/var/lib/x", list, nil), "$1")
	c, err := parseConfig("config.toml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := serveConfig{
		Written: true, Listen: []listenPlace{"unix:/var/spool/postfix/starttls-policy/socket", "127.0.0.1:8461"}, Mode: 0o660, Group: "postfix",
		Sources: []sourceName{"mta-sts", "list"}, Resolver: netip.MustParseAddrPort("127.0.0.1:53"), Update: updateEvery(6 * time.Hour),
		Metrics: netip.MustParseAddrPort("127.0.0.1:9465"),
	}
	if !reflect.DeepEqual(*c.Serve, want) || len(c.Overrides) != 1 || len(c.Adopt) != 1 ||
		c.Metrics.Textfile != "/var/lib/starttls-policy/starttls-policy.prom" {
		t.Errorf("%+v, %+v, %+v, %+v", *c.Serve, c.Overrides, c.Adopt, c.Metrics)
	}
}

// What [serve], [[override]] and early-adopter may not say, each with the place or the name of what is wrong.
func TestConfigRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"[serve]\nlisten = [\"localhost:1\"]":                                    "config.toml:2:",
		"[metrics]\ntextfile = \"x.prom\"":                                       "config.toml:2:12: textfile = \"x.prom\"",
		"[metrics]\ntextfile = \"/x.txt\"":                                       "ends with \".prom\"",
		"[serve]\nmetrics = \"9465\"":                                            "config.toml:2:",
		"[serve]\nlisten = [\"unix:socket\"]":                                    "unix:/absolute/path",
		"[serve]\nmode = \"0999\"":                                               "octal",
		"[serve]\nsources = [\"dns\"]":                                           "mta-sts",
		"[serve]\nsources = [\"dane\"]":                                          "trust-ad",
		"[serve]\nupdate = \"1s\"":                                               "from \"10m\"",
		"[serve]\nresolver = \"127.0.0.1\"":                                      "config.toml:2:",
		"[[override]]\nreason = \"x\"":                                           "number 1 has no domain",
		"[[override]]\ndomain = \"a.example\"":                                   "a.example has no reason",
		"[[override]]\ndomain = \"a b\"\nreason = \"x\"":                         "config.toml:2:",
		"[[override]]\ndomain = \"a.example\"\nreason = \"x\"\nuntil = \"soon\"": "such as",
		"[[override]]\ndomain = \"a.example\"\nreason = \"x\"\nmxs = [\"mx a\"]": "config.toml:4:",
	} {
		text := "[[list]]\nname = \"a\"\nmirrors = [\"/srv\"]\n" + text + "\n"
		_, err := parseConfig("config.toml", []byte(text))
		shift := regexp.MustCompile(`^config.toml:(\d):`).FindStringSubmatch(want)
		if shift != nil { // the list comes first
			n, _ := strconv.Atoi(shift[1])
			want = fmt.Sprintf("config.toml:%d:", n+3)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

// A configuration never makes the parser panic, and a name never leads out of the state folder.
func FuzzParseConfig(f *testing.F) {
	f.Add(configText("/var/lib/x", listConfig{Name: "a", Mirrors: []mirrorPlace{"/srv"}, Expired: "empty"}, &postfixConfig{Map: "/m", Type: texthash, Dialect: "auto"}))
	f.Add("[[list]]\nname = \"..\"\nmirrors = [\"/srv\"]\n")
	f.Add("[postfix]\nmap = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig("config.toml", []byte(text))
		if err != nil {
			return
		}
		for _, l := range c.Lists {
			var again listName
			if err := again.UnmarshalText([]byte(l.Name)); err != nil || l.Name[0] == '.' {
				t.Errorf("accepted the list name %q", l.Name)
			}
		}
	})
}

// The worst of several lists is the exit code.
func TestWorse(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{
		{0, 0, 0}, {0, exitStale, exitStale}, {exitNoMirror, exitStale, exitNoMirror}, {exitNoMirror, exitExpired, exitExpired},
		{exitFailed, exitExpired, exitFailed}, {exitSecurity, exitFailed, exitSecurity},
	} {
		if got := worse(c.a, c.b); got != c.want || worse(c.b, c.a) != c.want {
			t.Errorf("worse(%d, %d) = %d, want %d both ways", c.a, c.b, got, c.want)
		}
	}
}

// Fingerprints are taken as people paste them.
func TestParseFingerprint(t *testing.T) {
	digits := "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	for _, s := range []string{digits, "sha256:" + digits, "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF 00112233445566778899AABBCCDDEEFF"} {
		if f, err := parseFingerprint(s); err != nil || f[31] != 0xff || f[1] != 0x11 {
			t.Errorf("%q: %x, %v", s, f, err)
		}
	}
	for _, s := range []string{"", digits[:62], digits + "00", "zz" + digits[2:]} {
		if _, err := parseFingerprint(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// The commented parts of the file that join writes are right once their marks are taken away, and name every format.
func TestConfigTextOfExports(t *testing.T) {
	list := listConfig{Name: "a", Mirrors: []mirrorPlace{"/srv"}, Expired: "empty"}
	text := configText("/var/lib/x", list, nil)
	for _, f := range mta.Formats() {
		if !strings.Contains(text, fmt.Sprintf("%q", f.Name)) {
			t.Errorf("the configuration does not name the format %s", f.Name)
		}
	}
	x := exportConfig{"exim", "/var/lib/starttls-policy/exim-tls-policy.cdb"}
	bare := strings.NewReplacer("#[[export]]", "[[export]]", "#format", "format", "#file", "file").Replace(text)
	for _, text := range []string{bare, text + exportText(x)} {
		if c, err := parseConfig("config.toml", []byte(text)); err != nil || len(c.Exports) != 1 || c.Exports[0] != x {
			t.Errorf("%v, %+v", err, c.Exports)
		}
	}
}
