package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Doctor looks at each resolver that anything of ours asks: with another one asked, a remote one that is believed would pass.
func TestDoctorFindsEachResolver(t *testing.T) {
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 192.0.2.1\nnameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const system = "127.0.0.1:53 192.0.2.1:53"
	for more, want := range map[string]string{
		"":                                     system,
		"[serve]\n":                            system,
		"[serve]\nresolver = \"127.0.0.2:53\"": "127.0.0.2:53",
		"[leave-out]\nresolver = \"127.0.0.3:53\"":                                                                  system, // without sources it asks nobody
		"[leave-out]\nsources = [\"mta-sts\"]\nresolver = \"127.0.0.3:53\"":                                         "127.0.0.3:53",
		"[serve]\nresolver = \"127.0.0.2:53\"\n[leave-out]\nsources = [\"mta-sts\"]":                                "127.0.0.1:53 127.0.0.2:53 192.0.2.1:53",
		"[serve]\nresolver = \"127.0.0.2:53\"\n[leave-out]\nsources = [\"mta-sts\"]\nresolver = \"127.0.0.3:53\"":   "127.0.0.2:53 127.0.0.3:53",
		"[serve]\nlisten = [\"127.0.0.1:8461\"]\n[leave-out]\nsources = [\"mta-sts\"]\nresolver = \"127.0.0.3:53\"": "127.0.0.1:53 127.0.0.3:53 192.0.2.1:53",
		"[serve]\nresolver = \"127.0.0.1:53\"\n[leave-out]\nsources = [\"dane\"]\ntrust-ad = true":                  system,
	} {
		cfg, err := parseConfig("c.toml", []byte("[[list]]\nname = \"a\"\nmirrors = [\"/srv\"]\n"+more+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		l := &look{cfg: cfg, resolvConf: resolv}
		all, err := l.configured()
		got := ""
		for _, a := range all {
			got += fmt.Sprint(a, " ")
		}
		if err != nil || got != want+" " {
			t.Errorf("%q: %s, %v; want %s", more, got, err, want)
		}
	}
}
