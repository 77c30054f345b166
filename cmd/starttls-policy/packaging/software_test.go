package packaging

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// The inventory of a program (SBOM) has every module that its build information has, in that version, and no other.
func TestInventoryIsWhole(t *testing.T) {
	tool.Path(t, "cyclonedx-gomod")
	program := filepath.Join(release(t, "v1.2.3"), "starttls-policy-linux-"+runtime.GOARCH)
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"std@" + info.GoVersion}
	for _, m := range info.Deps {
		want = append(want, m.Path+"@"+m.Version)
	}
	data, err := os.ReadFile(program + ".cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		BOMFormat, SerialNumber string
		Metadata                struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []struct {
			Name, Version string
			Hashes        []struct{ Alg, Content string }
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range doc.Components {
		got = append(got, c.Name+"@"+c.Version)
		if c.Name != "std" && (len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64) {
			t.Errorf("%s has no digest: %v", c.Name, c.Hashes)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	for i := range got {
		got[i] = strings.Replace(got[i], "std@go", "std@", 1)
		want[i] = strings.Replace(want[i], "std@go", "std@", 1)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the inventory has\n%q, the program\n%q", got, want)
	}
	c := doc.Metadata.Component
	if doc.BOMFormat != "CycloneDX" || c.Name != "github.com/starttls-everywhere/policylist" || c.Version != "v1.2.3" {
		t.Errorf("%s, %v", doc.BOMFormat, c)
	}
	if doc.SerialNumber != "" || doc.Metadata.Timestamp != "" {
		t.Error("the inventory differs from build to build")
	}
}

// softwareKey makes a key as sign.sh says, and returns its folder.
func softwareKey(t *testing.T, password string) string {
	t.Helper()
	dir := t.TempDir()
	script := `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -v2 aes-256-cbc -passout env:P -out software.key &&
		openssl pkey -in software.key -passin env:P -pubout -out software.pub`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "P="+password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// What sign.sh signs, cosign and openssl verify, and neither takes another file; without the key, its password, or its own
// public half there is no signature.
func TestChecksumsAreSigned(t *testing.T) {
	openssl, cosign := tool.Path(t, "openssl"), tool.Path(t, "cosign")
	dir, foreign := softwareKey(t, "a password"), softwareKey(t, "another")
	sums, signature, key := filepath.Join(dir, "SHA256SUMS"), filepath.Join(dir, "SHA256SUMS.sig"), filepath.Join(dir, "software.key")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sign := func(key, password, public string) error {
		cmd := exec.CommandContext(t.Context(), filepath.Join(repository, ".github/sign.sh"), key, sums, signature)
		cmd.Env = append(os.Environ(), "SOFTWARE_KEY_PASSWORD="+password, "SOFTWARE_PUBLIC_KEY="+public)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		return err
	}
	write(sums, "00  starttls-policy-linux-amd64\n")
	for _, wrong := range [][3]string{{key + ".not", "a password", ""}, {"", "a password", ""}, {key, "wrong", ""}, {key, "", ""},
		{key, "a password", filepath.Join(foreign, "software.pub")}, {key, "a password", filepath.Join(dir, "absent.pub")}} {
		if err := sign(wrong[0], wrong[1], wrong[2]); err == nil {
			t.Errorf("%q was signed with", wrong)
		}
		if left, _ := filepath.Glob(signature + "*"); left != nil {
			t.Errorf("%q leaves %q", wrong, left)
		}
	}
	if err := sign(key, "a password", filepath.Join(dir, "software.pub")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(signature)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "raw"), string(raw))
	judges := func(public string) (bool, bool) {
		a := exec.CommandContext(t.Context(), openssl, "dgst", "-sha256", "-verify", public, "-signature", filepath.Join(dir, "raw"), sums)
		b := exec.CommandContext(t.Context(), cosign, "verify-blob", "--key", public, "--signature", signature, "--insecure-ignore-tlog=true", sums)
		b.Env = append(os.Environ(), "HOME="+dir)
		return a.Run() == nil, b.Run() == nil
	}
	if a, b := judges(filepath.Join(dir, "software.pub")); !a || !b {
		t.Errorf("openssl %v, cosign %v", a, b)
	}
	if a, b := judges(filepath.Join(foreign, "software.pub")); a || b {
		t.Errorf("another key: openssl %v, cosign %v", a, b)
	}
	write(sums, "01  starttls-policy-linux-amd64\n")
	if a, b := judges(filepath.Join(dir, "software.pub")); a || b {
		t.Errorf("other sums: openssl %v, cosign %v", a, b)
	}
}

// goreleaser takes its configuration, and makes the program that package.sh makes.
func TestGoreleaser(t *testing.T) {
	program := tool.Path(t, "goreleaser")
	first, err := os.ReadFile(filepath.Join(release(t, "v1.2.3"), "starttls-policy-linux-"+runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(env []string, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	script := `git -C "$0" ls-files -z --cached --others --exclude-standard | tar -C "$0" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -xf - &&
		git init -q && git add . && git -c user.name=a -c user.email=a@example.org commit -q -m begin`
	if out, err := run(nil, "bash", "-c", script, mustAbs(t, repository)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := run(nil, program, "check", "--config", ".github/goreleaser.yaml"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := run([]string{"VERSION=v1.2.3", "GOOS=linux", "GOARCH=" + runtime.GOARCH, "GOAMD64=v1", "GOARM64=v8.0"}, program, "build", "--snapshot", "--single-target",
		"--id", "starttls-policy", "--skip", "before", "--config", ".github/goreleaser.yaml", "--output", "made")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	second, err := os.ReadFile(filepath.Join(dir, "made"))
	if err != nil || string(first) != string(second) {
		t.Errorf("%v: %d bytes, package.sh makes %d others", err, len(second), len(first))
	}
	config, err := os.ReadFile(filepath.Join(dir, ".github/goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(config), "sboms:", "bills:", 1)
	if err := os.WriteFile(filepath.Join(dir, "wrong.yaml"), []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(nil, program, "check", "--config", "wrong.yaml"); err == nil {
		t.Errorf("it takes anything: %s", out)
	}
}
