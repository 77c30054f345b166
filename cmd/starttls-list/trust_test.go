package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
)

// ceremony is a folder in which people make trust versions by the commands alone: mylist as init makes it, and key
// pairs NAME.key and NAME.pub.
type ceremony struct{ t *testing.T }

func newCeremony(t *testing.T) ceremony {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("COSIGN_PASSWORD", "correct-horse")
	c := ceremony{t}
	if _, err := pipeline.Setup("mylist", pipeline.SetupOptions{Origin: "list.operator.example/2026", Plain: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("mylist/"+configName, []byte(strings.Replace(configText, `openpgp = "keys/openpgp.key"`, `openpgp = ""`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna", "ben", "carl", "log", "log2"} {
		c.pair(name, signing.Ed25519)
	}
	c.pair("release", signing.ECDSAP256)
	c.pair("release2", signing.ECDSAP256)
	return c
}

func (c ceremony) pair(name string, kind signing.Kind) {
	c.t.Helper()
	private, public, err := signing.GeneratePlain(kind)
	if err != nil {
		c.t.Fatal(err)
	}
	for file, data := range map[string][]byte{name + ".key": private, name + ".pub": public} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// run runs a command line, which must end with the code, and returns what it printed to both streams.
func (c ceremony) run(code int, line string) string {
	c.t.Helper()
	var out bytes.Buffer
	if got := run(c.t.Context(), strings.Fields(line), strings.NewReader(""), &out, &out); got != code {
		c.t.Fatalf("%s: exit code %d, want %d\n%s", line, got, code, out.String())
	}
	return out.String()
}

func (c ceremony) report(code int, line string) trustReport {
	c.t.Helper()
	var out, errs bytes.Buffer
	if got := run(c.t.Context(), strings.Fields(line+" --json"), strings.NewReader(""), &out, &errs); got != code {
		c.t.Fatalf("%s: exit code %d, want %d\n%s", line, got, code, errs.String())
	}
	var r trustReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		c.t.Fatalf("%s: %v\n%s", line, err, out.String())
	}
	return r
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in\n%s", p, text)
		}
	}
}

// The examples of the help texts work, one after another.
func TestTrustTranscripts(t *testing.T) {
	c := newCeremony(t)
	transcript(t, trustExample)
	transcript(t, trustCreateExample)
	transcript(t, trustShowExample)
	transcript(t, trustProposeExample)
	transcript(t, trustSignExample)
	c.run(0, "trust sign --key ben.key mylist/trust/2.draft")
	transcript(t, trustPublishExample)
	contains(t, c.run(0, "trust show mylist/trust"), "+ root key  ben+", "2 of 2 must sign", "complete: 1 of 1 root keys of version 1 have signed; 2 of 2 root keys of version 2")
}

// Three people on three machines make version 1: each signs an own copy of the folder, and one joins what comes back.
func TestTrustCeremonyOnSeveralMachines(t *testing.T) {
	c := newCeremony(t)
	c.run(0, "trust create --trust shared --root anna=anna.pub --root ben=ben.pub --root carl=carl.pub --root-threshold 2"+
		" --release release.pub --release release2.pub --release-threshold 2 --log log.pub --origin list.operator.example/new --expires 90d")
	contains(t, c.run(1, "trust publish shared/1.draft"), "signatures are missing", "hint:")
	for _, name := range []string{"anna", "carl"} {
		if err := os.CopyFS(name, os.DirFS("shared")); err != nil {
			t.Fatal(err)
		}
		out := c.run(0, "trust sign --key "+name+".key "+name+"/1.draft")
		contains(t, out, "trust version 1 of list.operator.example/new", "signed by "+name, "it takes 2")
		c.run(0, "trust sign --key "+name+".key "+name+"/1.draft") // twice is once
		contains(t, c.run(1, "trust publish "+name+"/1.draft"), "1 good signatures")
	}
	contains(t, c.run(1, "trust sign --key log.key shared/1.draft"), "not a root key")
	contains(t, c.run(0, "trust sign --merge anna/1.draft --merge carl/1.draft shared/1.draft"), "complete: 2 of 3 root keys have signed")
	r := c.report(0, "trust publish shared/1.draft")
	if !r.Complete || r.Version != 1 || len(r.Release.Keys) != 2 || r.Release.Threshold != 2 || !r.Root.Keys[0].Signed || r.Root.Keys[1].Signed {
		t.Errorf("published: %+v", r)
	}
	if _, err := os.Stat("shared/1.draft"); !os.IsNotExist(err) {
		t.Errorf("the draft is still there: %v", err)
	}
}

// Each refusal names what is wrong, has its exit code, and leaves the folder as it was.
func TestTrustRefusals(t *testing.T) {
	c := newCeremony(t)
	c.run(0, "trust propose --trust mylist/trust --add-root ben=ben.pub --root-threshold 2")
	before := c.files("mylist/trust")
	other := "mylist/trust/2.draft"
	for _, x := range []struct {
		code int
		line string
		say  string
	}{
		{1, "trust propose --trust mylist/trust", "file already exists"},
		{1, "trust publish " + other, "signatures are missing"},
		{1, "trust sign --key anna.key " + other, "not a root key"},
		{1, "trust sign --merge mylist/trust/1 " + other, "copies of version 2 differ"},
		{1, "trust show " + other, "not yet: list.operator.example.2026.root"},
		{3, "trust sign " + other, "--key, --merge, or both"},
		{3, "trust sign --key missing.key " + other, "no such file"},
		{3, "trust sign --key log.pub " + other, "PUBLIC KEY"},
		{3, "trust publish mylist/trust/3.draft", "no such file"},
		{1, "trust publish mylist/trust/1", "version 1"},
		{3, "trust show nowhere", "nowhere"},
		{3, "trust show mylist/trust/1 --version 2", "is version 1"},
		{3, "trust propose --trust nowhere", "nowhere"},
		{1, "trust propose --trust mylist/trust --remove-root nobody", "names no key"},
		{1, "trust propose --trust mylist/trust --remove-root list.operator.example.2026.root", "root threshold 1 of 0"},
		{1, "trust propose --trust mylist/trust --root-threshold 0", "root threshold 0"},
		{1, "trust propose --trust mylist/trust --release-threshold 2", "release threshold 2 of 1"},
		{1, "trust propose --trust mylist/trust --add-release mylist/keys/release.pub", "stands twice"},
		{1, "trust propose --trust mylist/trust --add-root again=mylist/keys/root.pub", "stands twice"},
		{1, "trust propose --trust mylist/trust --log mylist/keys/root.pub", "stands twice"},
		{3, "trust propose --trust mylist/trust --expires soon", "--expires"},
		{1, "trust propose --trust mylist/trust --expires 2020-01-01", "expired"},
		{3, "trust propose --trust mylist/trust --witnesses ben.pub", "witness policy"},
		{3, "trust create --trust other", "at least one"},
		{3, "trust create --trust other --root anna=anna.pub --release anna.pub --log log.pub", "needs a name"},
		{1, "trust create --trust mylist/trust --root anna=anna.pub --release release.pub --log log.pub --origin x.example/1", "goes on with version 2"},
		{3, "trust nonsense", "no command"},
	} {
		contains(t, c.run(x.code, x.line), x.say)
	}
	if after := c.files("mylist/trust"); after != before {
		t.Errorf("the folder changed:\n%s\nbefore\n%s", after, before)
	}
}

func (c ceremony) files(dir string) string {
	c.t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	var all strings.Builder
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			c.t.Fatal(err)
		}
		all.WriteString(n.Name() + "\n" + string(data))
	}
	return all.String()
}

// A life with every rotation, by the commands alone: each key, each threshold, then the log itself.
func TestTrustLife(t *testing.T) {
	c := newCeremony(t)
	release := func(code int) string { return c.run(code, "release --config mylist/"+configName) }
	rotate := func(version, flags string, keys ...string) {
		t.Helper()
		c.run(0, "trust propose --trust mylist/trust "+flags)
		for _, k := range keys {
			c.run(0, "trust sign --key "+k+" mylist/trust/"+version+".draft")
		}
		c.run(0, "trust publish mylist/trust/"+version+".draft")
	}
	edit := func(name, old, new string) {
		t.Helper()
		data, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(data), old) {
			t.Fatalf("%v: no %q in %s", err, old, name)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(data), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	configure := func(old, new string) {
		t.Helper()
		edit("mylist/"+configName, old, new)
	}
	release(0)
	rotate("2", "--add-root anna=anna.pub --add-root ben=ben.pub --root-threshold 2", "mylist/keys/root.key", "anna.key")
	release(0)
	rotate("3", "--remove-root list.operator.example.2026.root --add-release release2.pub --release-threshold 2", "anna.key", "ben.key")
	contains(t, release(4), "1 good signatures of the release keys of trust version 3")
	configure(`["keys/release.key"]`, `["keys/release.key", "../release2.key"]`)
	release(0)
	rotate("4", "--remove-release mylist/keys/release.pub --release-threshold 1 --log log.pub", "anna.key", "ben.key")
	contains(t, release(4), "log key")
	configure(`"keys/log.key"`, `"../log.key"`)
	release(0)
	rotate("5", "--origin list.operator.example/2027 --log log2.pub", "anna.key", "ben.key")
	configure(`"../log.key"`, `"../log2.key"`)
	edit("mylist/list/list.json", "list.operator.example/2026", "list.operator.example/2027")
	contains(t, release(4), "list.operator.example/2026", "a mirror of its own", "hint: add a [[mirror]]")
	configure("\n[[mirror]]\n", "\n[[mirror]]\nname = \"second\"\nurl = \"public-2027\"\n\n[[mirror]]\n")
	contains(t, release(2), "release 5 of list.operator.example/2027", "log.restart", "mirror second: published and verified", "mirror public: NOT published")
	c.run(1, "trust propose --trust mylist/trust --origin list.operator.example/2026")
	for _, mirror := range []string{"mylist/public", "mylist/public-2027"} {
		if r := c.report(0, "trust show "+mirror); r.Version != 5 || !r.Complete || r.Origin != "list.operator.example/2027" {
			t.Errorf("%s shows %+v", mirror, r)
		}
	}
	contains(t, c.run(0, "audit mylist/public-2027 --trust mylist/trust/1"), "release 5")
	if err := os.CopyFS("copy", os.DirFS("mylist/public")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("copy/trust/5"); err != nil {
		t.Fatal(err)
	}
	before := c.files("copy/tile/0/000.p")
	contains(t, c.run(1, "mirror mylist/public-2027 copy"), "list.operator.example/2026", "only trust versions were copied")
	if r := c.report(0, "trust show copy"); r.Version != 5 || c.files("copy/tile/0/000.p") != before {
		t.Errorf("a copy of the old mirror shows version %d, or its tiles changed", r.Version)
	}
	c.run(0, "mirror mylist/public-2027 new")
	c.run(0, "audit new --trust mylist/trust/1")
	contains(t, c.run(0, "trust show mylist/public --version 4"), "- log key", "+ log key", "- release key")
}

// A new log's name is what list.json may say too: it stands in URLs and in other people's file names.
func TestTrustRefusesOrigin(t *testing.T) {
	c := newCeremony(t)
	for _, origin := range []string{"a.example/../../x", "a.example//x", "https://a.example", "nodots"} {
		out := c.run(exitFail, "trust create --trust new --root anna=anna.pub --release release.pub --log log.pub --origin "+origin)
		if !strings.Contains(out, "this version must not be published: the origin") {
			t.Errorf("%s: %s", origin, out)
		}
		c.run(exitFail, "trust propose --trust mylist/trust --origin "+origin)
	}
	c.run(exitPass, "trust create --trust new --root anna=anna.pub --release release.pub --log log.pub --origin a.example/x")
}
