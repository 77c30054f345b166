package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/judge"
)

// TestJudgesAcceptTheDemo: Tessera's fsck, cosign and gpgv, which share no code with us, accept what the demo left.
// Their own tests show that each of them can refuse.
func TestJudgesAcceptTheDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--keep", dir}, nil, &out, &out); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out.String())
	}
	public := func(name string) string { return filepath.Join(dir, "public", name) }
	t.Run("fsck", func(t *testing.T) {
		web := httptest.NewServer(http.FileServer(http.Dir(public(""))))
		defer web.Close()
		vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
		if err != nil {
			t.Fatal(err)
		}
		if err := judge.Fsck(t, web.URL, string(bytes.TrimSpace(vkey))); err != nil {
			t.Error(err)
		}
	})
	t.Run("cosign", func(t *testing.T) {
		if err := judge.CosignVerifyBlob(t, filepath.Join(dir, "release.pub"), public("policy.json.sigstore.json"), public("policy.json")); err != nil {
			t.Error(err)
		}
	})
	t.Run("gpgv", func(t *testing.T) {
		if err := judge.Gpgv(t, filepath.Join(dir, "openpgp.pub"), public("policy.json.asc"), public("policy.json")); err != nil {
			t.Error(err)
		}
	})
}
