package main

import (
	"os"
	"testing"
)

// Keys on the command line are taken in place of the configuration's, as URIs or as files below the working folder; an empty
// one is a mistake.
func TestReleaseKeysByFlags(t *testing.T) {
	c, drawer := elsewhere(t)
	c.run(0, "release --config mylist/policylist.toml")
	c.moveKeys(drawer("release"), drawer("log2"))
	const release = "release --config mylist/policylist.toml"
	const others = "these are not the keys of the trust"
	contains(t, c.run(exitInternal, release), others)
	contains(t, c.run(exitInternal, release+" --release-key "+drawer("release")), others)
	contains(t, c.run(exitUsage, release+" --release-key= --log-key "+drawer("log2")), "--release-key is empty")
	both := " --release-key " + drawer("release") + " --log-key " + drawer("log2")
	contains(t, c.run(0, release+both), "release 2 of", "published and verified")
	contains(t, c.run(0, release+" --dry-run"+both), "would release")
	contains(t, c.run(exitInternal, release+" --release-key mylist/keys/release.key --log-key "+drawer("log2")), others)
	c.run(0, "audit mylist/public --trust mylist/trust/1")
	// A state that is lost comes back with the same keys.
	if err := os.RemoveAll("mylist/state"); err != nil {
		t.Fatal(err)
	}
	const recovering = "recover --config mylist/policylist.toml --yes"
	contains(t, c.run(exitFail, recovering), others)
	contains(t, c.run(exitUsage, recovering+" --release-key= --log-key "+drawer("log2")), "--release-key is empty")
	contains(t, c.run(0, recovering+both), "recovered: the next release is number 3")
	contains(t, c.run(0, release+both), "release 3 of")
}
