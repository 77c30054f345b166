package main

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// All of the bundle is written, but for the roots with a condition that PEM cannot state.
func TestWrite(t *testing.T) {
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := probe.ParseRoots(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	all, conditional := 0, 0
	for root := range bundle.Roots() {
		all++
		if root.Constraint != nil {
			conditional++
		}
	}
	if n := bytes.Count(out.Bytes(), []byte("-----BEGIN CERTIFICATE-----\n")); n != all-conditional || n < 100 {
		t.Errorf("%d of %d roots, %d have a condition", n, all, conditional)
	}
}
