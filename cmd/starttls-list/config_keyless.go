package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keyless"
)

// keylessConfig is what policylist.toml says of release --keyless.
type keylessConfig struct {
	Fulcio    string `toml:"fulcio"`
	Timestamp string `toml:"timestamp"`
	Identity  string `toml:"identity"`
	Issuer    string `toml:"issuer"`
	Roots     string `toml:"roots"`
	TokenFile string `toml:"token-file"`
	Audience  string `toml:"audience"`
}

const keylessConfigText = `[keyless]
# For starttls-list release --keyless: beside the other signatures a bundle that names who released rather than a key,
# policy.json.keyless.sigstore.json. If it cannot be made, the release warns and goes out without.
# The certificate authority (Fulcio), such as "https://fulcio.sigstore.dev", and a timestamp authority (RFC 3161), such as
# "https://timestamp.sigstore.dev/api/v1/timestamp".
fulcio = ""
timestamp = ""
# Who releases, and who says so: the certificate has to name both, and people verify by both. On GitHub Actions, say,
# "https://github.com/OWNER/REPO/.github/workflows/publish.yml@refs/heads/main" and
# "https://token.actions.githubusercontent.com".
identity = ""
issuer = ""
# Fulcio's root certificates in PEM, to try the certificate before it is published; "" leaves that to those who verify.
roots = ""
# A file with the OpenID Connect token; "" for the environment's: SIGSTORE_ID_TOKEN, else what GitHub Actions offers a job
# with "id-token: write".
token-file = ""
# The audience to ask GitHub Actions for. "" for "sigstore".
audience = ""
`

var errKeyless = errors.New("[keyless] needs fulcio, timestamp, identity and issuer")

// checkKeyless judges what is set; a section without servers is one that is not used.
func (c *config) checkKeyless() error {
	for key, url := range map[string]string{"fulcio": c.Keyless.Fulcio, "timestamp": c.Keyless.Timestamp} {
		if url == "" {
			continue
		}
		if err := keyless.CheckURL(url); err != nil {
			return fmt.Errorf("[keyless] %s: %w", key, err)
		}
	}
	return nil
}

// keyless makes a publisher's keyless signer; an error is a mistake in the configuration.
func (c *config) keyless() (pipeline.Keyless, error) {
	k := c.Keyless
	if k.Fulcio == "" || k.Timestamp == "" || k.Identity == "" || k.Issuer == "" {
		return nil, errKeyless
	}
	if k.Audience == "" {
		k.Audience = keyless.DefaultAudience
	}
	s := &keyless.Signer{Fulcio: k.Fulcio, Timestamp: k.Timestamp, Identity: k.Identity, Issuer: k.Issuer, Now: time.Now,
		Token: keyless.Ambient{File: c.path(k.TokenFile), Audience: k.Audience, LookupEnv: os.LookupEnv}.Token}
	if k.Roots != "" {
		var err error
		if s.Roots, err = readFile(c.path(k.Roots), maxSmallFile); err != nil {
			return nil, fmt.Errorf("[keyless] roots: %w", err)
		}
	}
	return s, nil
}
