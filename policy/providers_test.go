package policy

import "testing"

// TestPublicSuffix: what a registry sells counts, not what an owner lets customers have below a name.
func TestPublicSuffix(t *testing.T) {
	for name, want := range map[string]string{
		"a.de": "de", "mail.a.co.uk": "co.uk", "a.github.io": "io", "x.a.blogspot.com": "com", "co.uk": "co.uk",
		"a.example": "example", "xn--4gbwdl.xn--wgbh1c": "xn--wgbh1c", "foo.compute-1.amazonaws.com": "com",
	} {
		d, err := ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := PublicSuffix(d); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestSoldDomain: names below a private suffix are one customer of a registry.
func TestSoldDomain(t *testing.T) {
	for name, want := range map[string]string{
		"a.de": "a.de", "mx.b.a.co.uk": "a.co.uk", "co.uk": "", "a.github.io": "github.io", "x.a.duckdns.org": "duckdns.org", "duckdns.org": "duckdns.org",
		"mail.a.example": "a.example", "a.example": "a.example",
	} {
		d, err := ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := SoldDomain(d); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRegisteredDomain(t *testing.T) {
	for name, want := range map[string]string{
		"a-de.mail.protection.outlook.com": "outlook.com", "a.x-v1.mx.microsoft": "mx.microsoft", "mx.a.co.uk": "a.co.uk", "co.uk": "",
	} {
		d, err := ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := RegisteredDomain(d); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
