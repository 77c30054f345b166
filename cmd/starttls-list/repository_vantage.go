package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// The first vantage of a list whose operator has one host, with its files below the folder of keys.
const (
	vantageName    = "first"
	vantageKeyFile = "keys/vantage.pem"
	evidenceDir    = "evidence"
)

// firstVantage makes the key of a first vantage and names it in list.json: without one nobody's evidence counts, and the
// gate would hold everything for ever. With one alone it promotes and lets leave, and demotes nobody.
func (r *repositoryInit) firstVantage() error {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	err = durable.WriteFile(filepath.Join(r.private, filepath.FromSlash(vantageKeyFile)), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if err = errors.Join(err, os.MkdirAll(filepath.Join(r.private, evidenceDir), 0o700)); err != nil {
		return err
	}
	path := filepath.Join(r.public, pipeline.SourceDir, policy.SettingsName)
	settings, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	body := strings.TrimSuffix(strings.TrimSpace(string(settings)), "}")
	text := fmt.Sprintf(`%s, "quorum": 1, "vantages": [{"name": %q, "key": %q}]}`, body, vantageName, base64.StdEncoding.EncodeToString(public))
	normal, err := policy.FormatSettings(policy.File{Path: path, Data: []byte(text)})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, normal, 0o644)
}
