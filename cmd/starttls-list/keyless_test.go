package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keyless"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// useKeyless writes the section [keyless] for a Sigstore on loopback.
func (c ceremony) useKeyless(s *keytest.Sigstore) {
	c.t.Helper()
	if err := os.WriteFile("mylist/fulcio.pem", s.Roots, 0o644); err != nil {
		c.t.Fatal(err)
	}
	text := strings.NewReplacer(`"keys/openpgp.key"`, `""`, `fulcio = ""`, `fulcio = "`+s.Fulcio+`"`, `timestamp = ""`, `timestamp = "`+s.Timestamp+`"`,
		`identity = ""`, `identity = "`+s.Identity+`"`, `issuer = ""`, `issuer = "`+s.Issuer.URL+`"`, `roots = ""`, `roots = "fulcio.pem"`).Replace(configText)
	if err := os.WriteFile(filepath.Join("mylist", configName), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A release with a keyless bundle, by real servers: other people's tools accept it, audits and copies take it along. With
// the certificate authority down the next release goes out without, and no mirror keeps the old bundle beside the new list.
func TestReleaseKeyless(t *testing.T) {
	s := keytest.StartSigstore(t)
	c := newCeremony(t)
	c.useKeyless(s)
	t.Setenv(keyless.TokenVar, s.Issuer.Token(t, s.Identity, keyless.DefaultAudience))
	const release = "release --config mylist/policylist.toml --keyless"
	contains(t, c.run(0, release), "release 1 of", "published and verified")
	bundle := filepath.Join("mylist/public", mirror.ListKeylessPath)
	signed := judge.Signed{Bundle: bundle, Blob: "mylist/public/policy.json", Identity: s.Identity, Issuer: s.Issuer.URL}
	if err := judge.CosignVerifyKeyless(t, s.TrustedRoot, signed); err != nil {
		t.Error(err)
	}
	if err := judge.SigstoreGoVerify(t, s.TrustedRoot, signed); err != nil {
		t.Error(err)
	}
	const audit = "audit mylist/public --trust mylist/trust/1"
	contains(t, c.run(0, audit), "no errors, no warnings")
	c.run(0, "mirror mylist/public copy")
	if !exists(filepath.Join("copy", mirror.ListKeylessPath)) {
		t.Error("the copy lacks the keyless bundle")
	}

	s.StopFulcio()
	old, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, c.run(0, release), "release 2 of", "published and verified", "the release has no keyless bundle", "connection refused")
	if exists(bundle) {
		t.Error("the old bundle stands beside the new list")
	}
	if err := os.WriteFile(bundle, old, 0o644); err != nil { // as a mirror that did not let go of it
		t.Fatal(err)
	}
	contains(t, c.run(1, audit), "audit.keyless-invalid")
	c.run(0, "mirror mylist/public copy")
	if exists(filepath.Join("copy", mirror.ListKeylessPath)) {
		t.Error("the copy has a bundle that does not fit its list")
	}
}

// What is wrong in the section is told before anything is released; without --keyless nobody asks.
func TestKeylessNeedsItsSection(t *testing.T) {
	c := newCeremony(t)
	contains(t, c.run(exitUsage, "release --config mylist/policylist.toml --keyless"), "[keyless] needs fulcio, timestamp, identity and issuer")
	path := filepath.Join("mylist", configName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://fulcio.example", "fulcio.example", "https://user:pass@fulcio.example", "ftp://127.0.0.1"} {
		if err := os.WriteFile(path, []byte(strings.Replace(string(data), `fulcio = ""`, `fulcio = "`+url+`"`, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		contains(t, c.run(exitUsage, "release --config mylist/policylist.toml"), "[keyless] fulcio")
	}
}

// A token that nobody offers, or that is none, costs the bundle and not the release.
func TestReleaseWithoutToken(t *testing.T) {
	s := keytest.StartSigstore(t)
	c := newCeremony(t)
	c.useKeyless(s)
	const release = "release --config mylist/policylist.toml --keyless"
	for name := range strings.FieldsSeq("SIGSTORE_ID_TOKEN ACTIONS_ID_TOKEN_REQUEST_URL ACTIONS_ID_TOKEN_REQUEST_TOKEN") {
		t.Setenv(name, "")
	}
	contains(t, c.run(0, release), "release 1 of", "identity token: there is none")
	t.Setenv(keyless.TokenVar, "secret password")
	out := c.run(0, release)
	contains(t, out, "release 2 of", "what is given is no token")
	if strings.Contains(out, "secret password") {
		t.Error("the token was printed")
	}
}
