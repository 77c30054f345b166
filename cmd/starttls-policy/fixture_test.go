package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/starttls-everywhere/policylist/cmd/internal/mtatest"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// publish is mtatest.Publish at the given time.
func publish(ctx context.Context, home, public, at string, fragment []byte) (fingerprint string, err error) {
	now, err := policy.ParseTime(at)
	if err != nil {
		return "", err
	}
	return mtatest.Publish(ctx, home, public, now, fragment)
}

// rotate makes, signs and publishes the next trust version, with the keys of the present one, at the given time.
func rotate(home, at string) error {
	now, err := policy.ParseTime(at)
	if err != nil {
		return err
	}
	folder := filepath.Join(home, pipeline.TrustDir)
	chain, err := mirror.ReadTrust(folder)
	if err != nil {
		return err
	}
	t := chain.Newest()
	draft, err := transparency.NewTrust(t.Version+1, now.AddDate(1, 0, 0), t.RootK, t.RootVKeys(), t.ReleaseK, t.ReleaseKeys(), t.LogVKey(), t.Witnesses)
	if err != nil {
		return err
	}
	root, _, err := signing.Load(filepath.Join(home, pipeline.RootKeyFile), signing.Password{})
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(t.RootVKeys()[0], "+")
	signer, err := root.NoteSigner(name)
	if err != nil {
		return err
	}
	c, err := pipeline.StartCeremony(folder, draft, now)
	if err == nil {
		err = c.Sign(nil, signer)
	}
	if err == nil {
		_, err = c.Publish(now)
	}
	return err
}

// bulk is a fragment of n enforcing domains with one MX each, for the diff guard.
func bulk(n int, mx string) []byte {
	var b strings.Builder
	b.WriteString(`{"policies": {`)
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n\"d%03d.example\": {\"mode\": \"enforce\", \"mxs\": [\"%s.d%03d.example\"]}", i, mx, i)
	}
	return []byte(b.String() + "\n}}\n")
}
