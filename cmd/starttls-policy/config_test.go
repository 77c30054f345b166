package main

import (
	"reflect"
	"testing"
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
	want := config{State: "/var/lib/x", Lists: []listConfig{list}, Postfix: &postfix}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back as\n%+v\nwant\n%+v", got, want)
	}
	second := list
	second.Name = "second"
	if got, err = parseConfig("config.toml", []byte(text+listText(second))); err != nil || len(got.Lists) != 2 {
		t.Errorf("with a list appended behind [postfix]: %+v, %v", got, err)
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
