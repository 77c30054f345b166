package doctor

import (
	"fmt"
	"strings"
	"testing"
)

func TestAllowsOld(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, ">=TLSv1": true, ">=TLSv1.1": true, ">=TLSv1.2": false, "!SSLv2, !SSLv3": true, "!SSLv2 !SSLv3 !TLSv1": true,
		"!SSLv2:!SSLv3:!TLSv1:!TLSv1.1": false, "TLSv1.2": false, "TLSv1.2 TLSv1": true, "<=TLSv1.2": true, ">=TLSv1.2, <=TLSv1.3": false,
		"TLSv1.2, TLSv1.1, !TLSv1.1": false, ">=0x0303": true,
	} {
		if got := allowsOld(value); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
}

func TestParseMaps(t *testing.T) {
	for value, want := range map[string]string{
		"":                   "[]",
		"hash:/a":            "[hash:/a]",
		" hash:/a,\tcdb:/b ": "[hash:/a cdb:/b]",
		"proxy:hash:/a":      "[proxy:hash:/a]",
		"inline:{ {a = b}, c=d } socketmap:unix:x:floor": "[inline:{ {a = b}, c=d } socketmap:unix:x:floor]",
		"inline:{ a = b": "[inline:{ a = b]",
		"}":              "[}:]",
		"nonsense":       "[nonsense:]",
	} {
		if got := fmt.Sprint(ParseMaps(value)); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	for entry, want := range map[string]string{
		"socketmap:inet:127.0.0.1:8461:floor": "tcp 127.0.0.1:8461 true floor", "socketmap:unix:private/x:sni": "unix private/x true sni",
		"socketmap:inet:[::1]:8461:floor": "tcp [::1]:8461 true floor", "socketmap:unix:x": "  false x", "socketmap:pipe:a:b": "  false b", "hash:/a": "  false /a",
	} {
		kind, name, _ := strings.Cut(entry, ":")
		m := Map{Type: kind, Name: name}
		network, address, ok := m.Socket()
		if got := fmt.Sprint(network, " ", address, " ", ok, " ", m.MapName()); got != want {
			t.Errorf("%s: %s, want %s", entry, got, want)
		}
	}
	for _, c := range [][3]string{{"/run/x", "n", "/run/x"}, {"/run/x", "y", "/q/run/x"}, {"p/x", "n", "/q/p/x"}, {"p/x", "y", "/q/p/x"}, {"/../x", "y", "/x"}} {
		if got := Place(c[0], "/q", c[1] == "y"); got != c[2] {
			t.Errorf("%q: %s", c, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("inline:{ {a = b}, c=d } socketmap:unix:x:floor", "smtp/unix/command = smtp -o a=b")
	f.Fuzz(func(t *testing.T, value, fields string) {
		all := ParseMaps(value)
		if balanced := strings.Count(value, "{") == 0 && strings.Count(value, "}") == 0; balanced {
			if again := ParseMaps(join(all)); len(again) != len(all) {
				t.Errorf("%q: %q and %q", value, all, again)
			}
		}
		for _, m := range all {
			if _, address, ok := m.Socket(); ok && (address == "" || strings.HasSuffix(address, ":"+m.MapName())) {
				t.Errorf("%s: address %q", m, address)
			}
			if path, ok := m.File(); ok && path[0] != '/' {
				t.Errorf("%s: file %q", m, path)
			}
		}
		ParseMaster(fields, value, "")
		ParseParams(fields)
		ParseParts(fields)
		allowsOld(value)
	})
}
