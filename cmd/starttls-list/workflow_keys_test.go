package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// movesKeys: the release key moves to (a stand-in of) AWS' KMS, by the next trust version, and the caller's inputs say so to
// the job, whose configuration still names files. It also asks for a keyless bundle, which names the job.
func movesKeys(t *testing.T, w *workflowWorld) {
	service, sigstore := keytest.StartKMS(t, "release"), keytest.StartSigstore(t)
	w.issuer = sigstore.Issuer
	t.Cleanup(func() { w.issuer = nil })
	private := filepath.Join(w.dir, "private")
	w.nextTrust(service.Public("release"))
	before, err := os.ReadFile(filepath.Join(w.list, configName))
	if err != nil {
		t.Fatal(err)
	}
	w.write("fulcio.pem", string(sigstore.Roots))
	w.write("list/"+configName, strings.NewReplacer(`fulcio = ""`, `fulcio = "`+sigstore.Fulcio+`"`, `timestamp = ""`, `timestamp = "`+sigstore.Timestamp+`"`,
		`identity = ""`, `identity = "`+jobIdentity+`"`, `issuer = ""`, `issuer = "`+sigstore.Issuer.URL+`"`,
		`roots = ""`, `roots = "`+filepath.ToSlash(filepath.Join(w.dir, "fulcio.pem"))+`"`).Replace(string(before)))
	caller, err := os.ReadFile(w.caller("publish"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("list/.github/workflows/publish.yml", strings.TrimRight(string(caller), "\n")+
		"\n      release-key: awskms:///alias/release\n      log-key: "+private+"/keys/log.key\n      keyless: true\n")
	w.commit("Keys in a KMS")
	lints(t, w)
	runGit(t, w.list, "push", "-q", "origin", "main")

	job := func(set ...string) *workflowRunner {
		r := w.runner(t, false)
		r.env = append(r.env, "AWS_ENDPOINT_URL_KMS="+os.Getenv("AWS_ENDPOINT_URL_KMS"))
		for i := 0; i < len(set); i += 2 {
			r.values[set[i]] = set[i+1]
		}
		return r
	}
	r := job()
	if err := r.run(w.caller("publish")); err != nil || !strings.Contains(r.out.String(), "published and verified") || strings.Contains(r.out.String(), "no keyless bundle") {
		t.Fatalf("%v\n%s", err, r.out)
	}
	public := filepath.Join(w.gateway.Folder, "public")
	pointer, err1 := os.ReadFile(filepath.Join(public, mirror.PointerPath))
	chain, err2 := mirror.ReadTrust(filepath.Join(w.list, "trust"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if release, _, err := mirror.OpenPointer(pointer, chain); err != nil || release.Leaf.Trust != 2 {
		t.Fatalf("no release under trust version 2: %v", err)
	}
	signed := judge.Signed{Bundle: filepath.Join(public, mirror.ListKeylessPath), Blob: filepath.Join(public, mirror.ListPath), Identity: jobIdentity, Issuer: sigstore.Issuer.URL}
	if err := judge.CosignVerifyKeyless(t, sigstore.TrustedRoot, signed); err != nil {
		t.Error(err)
	}

	// Without the inputs the key of before signs nothing, and a switch that is neither on nor off is no release.
	w.write("list/.github/workflows/publish.yml", string(caller))
	if r = job(); r.run(w.caller("publish")) == nil || !strings.Contains(r.out.String(), "these are not the keys of the trust") {
		t.Errorf("the key of before signs:\n%s", r.out)
	}
	r = job("vars.POLICYLIST_RELEASE_KEY", "awskms:///alias/release", "vars.POLICYLIST_KEYLESS", "perhaps")
	if r.run(w.caller("publish")) == nil || !strings.Contains(r.out.String(), "::error::POLICYLIST_KEYLESS") {
		t.Errorf("perhaps:\n%s", r.out)
	}
	// The variables say the same as inputs. While the service is down nothing is released.
	r = job("vars.POLICYLIST_RELEASE_KEY", "awskms:///alias/release", "vars.POLICYLIST_KEYLESS", "yes")
	if err := r.run(w.caller("publish")); err != nil {
		t.Errorf("%v\n%s", err, r.out)
	}
	service.Stop()
	r = job("vars.POLICYLIST_RELEASE_KEY", "awskms:///alias/release")
	r.env = append(r.env, "AWS_MAX_ATTEMPTS=1")
	if r.run(w.caller("publish")) == nil || !strings.Contains(r.out.String(), "the key service did not answer") {
		t.Errorf("without a service:\n%s", r.out)
	}
}

// nextTrust replaces the release key, in a version that the root key signs at home.
func (w *workflowWorld) nextTrust(key *ecdsa.PublicKey) {
	w.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("kms.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	private, trust := filepath.Join(w.dir, "private", "keys"), filepath.Join(w.list, "trust")
	list(w.t, 0, "trust", "propose", "--trust", trust, "--remove-release", filepath.Join(private, "release.pub"), "--add-release", filepath.Join(w.dir, "kms.pub"))
	list(w.t, 0, "trust", "sign", "--key", filepath.Join(private, "root.key"), filepath.Join(trust, "2.draft"))
	list(w.t, 0, "trust", "publish", filepath.Join(trust, "2.draft"))
}
