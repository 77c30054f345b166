package keyless

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// signer is one whose every part is a real server on loopback.
func signer(t *testing.T, s *keytest.Sigstore) *Signer {
	t.Helper()
	env := map[string]string{requestURLVar: s.Issuer.URL + "/token?api-version=2.0", requestVar: s.Issuer.RequestToken}
	return &Signer{Fulcio: s.Fulcio, Timestamp: s.Timestamp, Identity: s.Identity, Issuer: s.Issuer.URL, Roots: s.Roots, Now: time.Now,
		Token: Ambient{Audience: DefaultAudience, LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}.Token}
}

// cosign and sigstore-go accept what Fulcio and a timestamp authority helped to make, and refuse it under another name,
// over other bytes, and by another root.
func TestKeylessByRealServers(t *testing.T) {
	s := keytest.StartSigstore(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := []byte("{\n\"timestamp\":\"…\"\n}\n")
	bundle, err := signer(t, s).Bundle(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(bundle, []byte("\n")) != 1 {
		t.Errorf("not one line: %s", bundle)
	}
	good := judge.Signed{Bundle: write("bundle.json", bundle), Blob: write("list", list), Identity: s.Identity, Issuer: s.Issuer.URL}
	other := good
	other.Identity = "somebody@list.example"
	elsewhere := good
	elsewhere.Issuer = "https://issuer.example"
	altered := good
	altered.Blob = write("altered", append(list, ' '))
	for name, verify := range map[string]func(testing.TB, string, judge.Signed) error{"cosign": judge.CosignVerifyKeyless, "sigstore-go": judge.SigstoreGoVerify} {
		if err := verify(t, s.TrustedRoot, good); err != nil {
			t.Errorf("%s refuses: %v", name, err)
		}
		for what, wrong := range map[string]judge.Signed{"another identity": other, "another issuer": elsewhere, "other bytes": altered} {
			if verify(t, s.TrustedRoot, wrong) == nil {
				t.Errorf("%s accepts %s", name, what)
			}
		}
	}
	wrong := signer(t, s)
	wrong.Identity = "operator@list.example"
	refused(t, wrong, `["publisher@list.example"], identity in [keyless] is "operator@list.example"`)
	wrong = signer(t, s)
	wrong.Issuer = "https://token.actions.githubusercontent.com"
	refused(t, wrong, "issuer in [keyless]")
	wrong = signer(t, s)
	wrong.Token = func(context.Context) (string, error) { return s.Issuer.Token(t, s.Identity, "another-audience"), nil }
	refused(t, wrong, "fulcio: an answer that is no success")
	s.StopFulcio()
	refused(t, signer(t, s), "connection refused")
}
