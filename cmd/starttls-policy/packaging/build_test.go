package packaging

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

const (
	repository = "../../.."
	epoch      = "1767225600" // 2026-01-01
	maxSize    = 15 << 20     // bytes of the program
)

// outputs are by version; they are removed when all tests have ended.
var outputs = struct {
	sync.Mutex
	dir  string
	done map[string]string
}{done: map[string]string{}}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(outputs.dir)
	os.Exit(code)
}

// release is the folder that package.sh made of starttls-policy for this machine, once a version.
func release(t *testing.T, version string) string {
	t.Helper()
	tool.Path(t, "nfpm")
	outputs.Lock()
	defer outputs.Unlock()
	if outputs.dir == "" {
		dir, err := os.MkdirTemp("", "packaging-")
		if err != nil {
			t.Fatal(err)
		}
		outputs.dir = dir
	}
	out, ok := outputs.done[version]
	if !ok {
		out = filepath.Join(outputs.dir, version)
		build(t, repository, out, []string{"VERSION=" + version}, "--program", "starttls-policy", "--arch", runtime.GOARCH)
		outputs.done[version] = out
	}
	return out
}

func build(t *testing.T, source, out string, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(source, ".github/package.sh"), append(args, out)...)
	cmd.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("package.sh: %v\n%s", err, said)
	}
}

// asRoot runs a command of this machine as root, which must succeed, and returns what it prints. It does so after the test
// too, to clear away.
func asRoot(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	args = append(tool.AsRoot(context.Background(), t), args...)
	var out, complaint bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s%s", args, err, out.String(), complaint.String())
	}
	return out.String()
}

// deb is the package in a release.
func deb(t *testing.T, version string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(release(t, version), "*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// The program needs no library and runs on every processor of its architecture: one built for newer ones would be
// restarted for ever.
func TestProgramIsStaticAndModest(t *testing.T) {
	path := filepath.Join(release(t, "v1.2.3"), "starttls-policy-linux-"+runtime.GOARCH)
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	want := map[string]string{"CGO_ENABLED": "0", "-trimpath": "true"}
	if runtime.GOARCH == "amd64" {
		want["GOAMD64"] = "v1"
	}
	for key, value := range want {
		if settings[key] != value {
			t.Errorf("%s is %q, want %q", key, settings[key], value)
		}
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is linked with libraries: %v", p.Type)
		}
	}
	stat, err := os.Stat(path)
	if err != nil || stat.Size() > maxSize {
		t.Errorf("%d bytes, the most is %d; %v", stat.Size(), maxSize, err)
	}
	t.Logf("%d bytes", stat.Size())
	out, err := exec.CommandContext(t.Context(), path, "--version").Output()
	if err != nil || string(out) != "starttls-policy version v1.2.3\n" {
		t.Errorf("--version prints %q, %v", out, err)
	}
}

// Two folders, two umasks, two time zones, settings of the builder that ask for newer processors: the same bytes. With
// POLICYLIST_FULL=1 the second build starts from an empty cache, and both programs are made for both architectures.
func TestReleaseIsReproducible(t *testing.T) {
	first := release(t, "v1.2.3")
	args := []string{"--program", "starttls-policy", "--arch", runtime.GOARCH}
	env := []string{"VERSION=v1.2.3", "GOAMD64=v3", "TZ=Asia/Tokyo", "GOFLAGS=-buildvcs=true"}
	if os.Getenv("POLICYLIST_FULL") != "" {
		args = nil
		first = filepath.Join(t.TempDir(), "first")
		build(t, repository, first, []string{"VERSION=v1.2.3"})
		env = append(env, "GOCACHE="+t.TempDir())
		packages, err := filepath.Glob(filepath.Join(first, "*.deb"))
		if err != nil || len(packages) != 4 {
			t.Fatal(packages, err)
		}
		quiet(t, "lintian", append([]string{"--allow-root", "--fail-on", "error,warning"}, packages...)...)
	}
	source := filepath.Join(t.TempDir(), "elsewhere")
	script := `umask 077 && mkdir "$0" && git -C "$1" ls-files -z --cached --others --exclude-standard | tar -C "$1" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -C "$0" --touch -xf -`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script, source, repository).CombinedOutput(); err != nil {
		t.Fatalf("copy the source: %v\n%s", err, out)
	}
	second := filepath.Join(t.TempDir(), "second")
	build(t, source, second, env, args...)
	a, err1 := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	b, err2 := os.ReadFile(filepath.Join(second, "SHA256SUMS"))
	if err1 != nil || err2 != nil || string(a) != string(b) || strings.Count(string(a), "\n") < 6 {
		t.Errorf("%v, %v\n%s\n%s", err1, err2, a, b)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--quiet", "--check", "SHA256SUMS")
	check.Dir = second
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The client also runs where developers and other mail servers live. Compiling is what can go wrong; each system once, and
// both architectures, is enough for every change.
func TestOtherSystems(t *testing.T) {
	systems := []string{"darwin/arm64", "freebsd/amd64"}
	if os.Getenv("POLICYLIST_FULL") != "" {
		systems = append(systems, "freebsd/arm64", "linux/arm64", "darwin/amd64")
	}
	for _, system := range systems {
		goos, arch, _ := strings.Cut(system, "/")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", os.DevNull, "./cmd/starttls-policy")
		cmd.Dir = repository
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", system, err, out)
		}
	}
}

// dpkg has to take a later version for an upgrade, whatever git describe calls it.
func TestVersionsAscend(t *testing.T) {
	const script = `source <(sed -n '/^debian_version()/,/^}/p' "$0") && SOURCE_DATE_EPOCH=1767225600 debian_version "$1"`
	last := ""
	for _, version := range []string{"1a2b3c4", "v0.9.0-rc1", "v0.9.0-rc1-2-g1a2b3c4", "v0.9.0", "v0.9.0-10-g1a2b3c4-dirty", "v0.9.0-10-g1a2b3c4", "v0.10.0"} {
		out, err := exec.CommandContext(t.Context(), "bash", "-c", script, filepath.Join(repository, ".github/package.sh"), version).Output()
		debian := strings.TrimSpace(string(out))
		if err != nil || debian == "" {
			t.Fatal(version, err)
		}
		if err := exec.CommandContext(t.Context(), "dpkg", "--validate-version", debian).Run(); err != nil {
			t.Errorf("%s becomes %s, which dpkg does not take", version, debian)
		}
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", last, "lt-nl", debian).Run(); last != "" && err != nil {
			t.Errorf("%s becomes %s, which is not later than %s", version, debian, last)
		}
		last = debian
	}
}
