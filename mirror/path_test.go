package mirror

import (
	"errors"
	"path"
	"strings"
	"testing"
)

func TestCheckPathAllowsWhatTheLayoutUses(t *testing.T) {
	for _, p := range []string{
		"checkpoint", "policy.json.tlog-proof", "tile/x001/067.p/8", "tile/entries/x001/067", "trust/1",
		"site/domain/xn--bcher-kva.example.json", ".well-known/x", "a..b", "~", strings.Repeat("a", 255),
	} {
		if err := CheckPath(p); err != nil {
			t.Error(err)
		}
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, p := range []string{"", "a", "/a", "a/", "a//b", "a/../b", ".tmp1", "a/.tmp", "a\x00", "%2e%2e", "índice", "a\\b"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		err := CheckPath(p)
		if err != nil {
			if !errors.Is(err, ErrPath) {
				t.Errorf("%q: %v does not wrap ErrPath", p, err)
			}
			return
		}
		if path.Clean("/"+p) != "/"+p {
			t.Errorf("%q is accepted and means %q", p, path.Clean("/"+p))
		}
		if i := strings.IndexFunc(p, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`%?#\:`, r) }); i >= 0 {
			t.Errorf("%q is accepted with a byte at %d that URLs or file systems treat their own way", p, i)
		}
	})
}
