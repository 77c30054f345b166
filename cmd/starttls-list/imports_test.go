package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// linked lists the packages of a program.
func linked(t *testing.T, program string, flags ...string) []string {
	t.Helper()
	args := append(append([]string{"list", "-buildvcs=false", "-deps"}, flags...), program)
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 50 {
		t.Fatalf("go list names only %d packages", len(packages))
	}
	return packages
}

// The judges of keyless bundles, the driver of a browser, and the key services that have a build tag, are in neither program. Each tag brings its
// service.
func TestImports(t *testing.T) {
	services := map[string]string{"gcpkms": "gcp", "azurekms": "azure", "hashivault": "hashivault"}
	const provider = "github.com/sigstore/sigstore/pkg/signature/kms/"
	for _, program := range []string{"../starttls-list", "../starttls-policy"} {
		for _, p := range linked(t, program) {
			for _, forbidden := range []string{
				"github.com/sigstore/sigstore-go", "github.com/sigstore/cosign", "github.com/sigstore/fulcio", "github.com/sigstore/rekor",
				"github.com/sigstore/timestamp-authority", "cloud.google.com/go", "google.golang.org/api", "github.com/Azure/", "github.com/AzureAD/",
				"github.com/hashicorp/vault", provider + "gcp", provider + "azure", provider + "hashivault",
				"github.com/starttls-everywhere/policylist/pipeline/signing/keytest",
				"github.com/chromedp/", "github.com/starttls-everywhere/policylist/mirror/site/browsertest",
			} {
				if strings.HasPrefix(p, forbidden) {
					t.Errorf("%s links %s", program, p)
				}
			}
		}
	}
	for tag, name := range services {
		if !slices.Contains(linked(t, ".", "-tags="+tag), provider+name) {
			t.Errorf("-tags %s does not bring %s", tag, provider+name)
		}
	}
}
