package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// elsewhere is a ceremony with keys in a drawer, that is, with the plugin of sigstore's protocol.
func elsewhere(t *testing.T) (ceremony, func(name string) string) {
	t.Helper()
	keytest.Install(t)
	c := newCeremony(t)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return c, func(name string) string { return "drawer://" + filepath.Join(dir, name+".key") }
}

// useKeys writes a configuration with the keys' references.
func (c ceremony) useKeys(release, log string) {
	c.t.Helper()
	text := strings.NewReplacer(`["keys/release.key"]`, `["`+release+`"]`, `"keys/log.key"`, `"`+log+`"`, `"keys/openpgp.key"`, `""`).Replace(configText)
	if err := os.WriteFile(filepath.Join("mylist", configName), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// moveKeys lets a trust version name a release key and a log key that are elsewhere.
func (c ceremony) moveKeys(release, log string) {
	c.t.Helper()
	old := "mylist/keys/release.pub"
	c.run(0, "trust propose --trust mylist/trust --remove-release "+old+" --add-release "+release+" --log "+log)
	c.run(0, "trust sign --key mylist/keys/root.key mylist/trust/2.draft")
	c.run(0, "trust publish mylist/trust/2.draft")
}

// A list whose root, release and log keys are all on devices: made, released, judged by the client's rules.
func TestListWithKeysOnDevices(t *testing.T) {
	c, drawer := elsewhere(t)
	c.run(0, "trust create --trust new --root anna="+drawer("anna")+" --release "+drawer("release")+
		" --log "+drawer("log")+" --origin list.operator.example/2026")
	out := c.run(0, "trust sign --key "+drawer("anna")+" new/1.draft")
	contains(t, out, "signed by anna")
	c.run(0, "trust publish new/1.draft")
	if err := os.RemoveAll("mylist/trust"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("new", "mylist/trust"); err != nil {
		t.Fatal(err)
	}
	c.useKeys(drawer("release"), drawer("log"))
	contains(t, c.run(0, "release --config mylist/policylist.toml"), "release 1 of", "published and verified")
	c.run(0, "audit mylist/public --trust mylist/trust/1")
}

// A root key in a key service is used, with a warning; what a build lacks it names.
func TestRootKeysAndServices(t *testing.T) {
	c, drawer := elsewhere(t)
	for _, uri := range []string{"azurekms://vault.example/key", "nothing://key"} {
		for _, line := range []string{
			"trust create --trust new --root anna=" + uri + " --release release.pub --log log.pub --origin a.example/x",
			"trust create --trust new --root anna=anna.pub --release " + uri + " --log log.pub --origin a.example/x",
			"trust create --trust new --root anna=anna.pub --release release.pub --log " + uri + " --origin a.example/x",
		} {
			contains(t, c.run(exitUsage, line), "key provider not available")
		}
	}
	contains(t, c.run(exitUsage, "trust create --trust new --root anna="+drawer("release")+" --release release.pub --log log.pub --origin a.example/x"),
		"notes are signed with Ed25519")
	if f := signing.OnlineRoot("hashivault://root"); len(f) != 1 || f[0].Code != signing.CodeOnlineKey || signing.OnlineRoot(drawer("anna")) != nil {
		t.Errorf("warning: %v", f)
	}
}

// The release key is in (a stand-in of) AWS KMS, the log key on a device. While the service is down nothing is written;
// then the release goes out.
func TestReleaseWithAKeyInAWSKMS(t *testing.T) {
	service := keytest.StartKMS(t, "release")
	c, drawer := elsewhere(t)
	c.run(0, "release --config mylist/policylist.toml")
	spki, err := x509.MarshalPKIXPublicKey(service.Public("release"))
	if err != nil {
		t.Fatal(err)
	}
	const uri = "awskms:///alias/release"
	c.moveKeys(uri, drawer("log2"))
	c.useKeys(uri, drawer("log2"))
	contains(t, c.run(0, "release --config mylist/policylist.toml"), "release 2 of", "published and verified")
	c.run(0, "audit mylist/public --trust mylist/trust/1")
	// The audit has verified the bundle by the keys in force; this is the one of them that made it.
	id := sha256.Sum256(spki)
	bundle, err := os.ReadFile("mylist/public/policy.json.sigstore.json")
	if err != nil || !strings.Contains(string(bundle), `"hint":"`+base64.StdEncoding.EncodeToString(id[:])+`"`) {
		t.Errorf("the bundle is not of the service's key: %v\n%s", err, bundle)
	}
	service.Stop()
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	contains(t, c.run(exitInternal, "release --config mylist/policylist.toml"), "the key service did not answer", "hint: see whether the key service")
	if left, err := filepath.Glob("mylist/state/outbox/*"); err != nil || len(left) != 2 {
		t.Errorf("an outage left something behind: %v, %v", left, err)
	}
}

// start runs a command line as a process of its own, which dies alone.
func (c ceremony) start(line string, environment ...string) error {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), os.Args[0])
	cmd.Args = append([]string{"starttls-list"}, strings.Fields(line)...)
	cmd.Env = append(os.Environ(), environment...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	c.t.Logf("%s: %v\n%s", line, err, out.String())
	return err
}

// signatures is how often each key of the drawer signed since the file was made, and makes it anew.
func signatures(t *testing.T, file string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	os.Remove(file)
	out := map[string]int{}
	for line := range strings.Lines(string(data)) {
		out[filepath.Base(strings.TrimSpace(line))]++
	}
	return out
}

// The publisher is killed when a device has just signed. First the release key's: nobody has seen that signature, and the
// next run makes another. Then the log key's, for the checkpoint: the release is in the outbox, and the next run completes
// it with the same bytes, without the release key, whose signatures differ each time. An outage there ends the same way.
func TestKilledAfterSigning(t *testing.T) {
	c, drawer := elsewhere(t)
	log := filepath.Join(t.TempDir(), "signatures")
	t.Setenv(keytest.LogVar, log)
	c.run(0, "release --config mylist/policylist.toml")
	c.moveKeys("release.pub", "log2.pub")
	c.useKeys(drawer("release"), drawer("log2"))
	// In every run the log key is tried out first, then the release key signs release and list, then the log key the tree.
	const toRelease, toTree = "1", "3"
	killed := func(spare string) {
		t.Helper()
		signatures(t, log)
		err := c.start("release --config mylist/policylist.toml", keytest.FaultVar+"="+keytest.FaultKill, keytest.SpareVar+"="+spare)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("not killed: %v", err)
		}
	}
	killed(toRelease)
	if got := signatures(t, log); got["release.key"] != 1 {
		t.Fatalf("signatures before the kill: %v", got)
	}
	if _, err := os.Stat("mylist/state/outbox/2"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the outbox has a release that nobody signed: %v", err)
	}
	killed(toTree)
	signed := c.files("mylist/state/outbox/2")
	signatures(t, log)
	t.Setenv(keytest.FaultVar, keytest.FaultError)
	t.Setenv(keytest.SpareVar, "1")
	contains(t, c.run(exitInternal, "release --config mylist/policylist.toml"), "the drawer is locked", "log2.key", "hint: see whether the key service")
	if c.files("mylist/state/outbox/2") != signed {
		t.Error("an outage changed the outbox")
	}
	t.Setenv(keytest.FaultVar, "")
	signatures(t, log)
	contains(t, c.run(0, "release --config mylist/policylist.toml"), "release 2 of", "published and verified", "had been interrupted")
	if got := signatures(t, log); got["release.key"] != 0 || got["log2.key"] != 2 {
		t.Errorf("signatures of the completing run: %v", got)
	}
	after := c.files("mylist/state/outbox/2")
	for _, name := range []string{"entries", "policy.json", "policy.json.sigstore.json"} {
		data, err := os.ReadFile("mylist/state/outbox/2/" + name)
		if err != nil || !strings.Contains(signed, name+"\n"+string(data)) || !strings.Contains(after, string(data)) {
			t.Errorf("%s was made twice: %v", name, err)
		}
	}
	c.run(0, "audit mylist/public --trust mylist/trust/1")
}
