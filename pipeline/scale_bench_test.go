//go:build linux

package pipeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// scaleCommand makes .github/BENCHMARKS.md.
const scaleCommand = "POLICYLIST_FULL=1 go test ./pipeline -run '^$' -bench Scale -benchtime 1x -timeout 60m"

// BenchmarkScale does with a small and a large list everything that is done with lists, each step in a process of its own, beside
// what it cannot do without, and prints one table. With POLICYLIST_FULL=1 the large list has 1,000,000 domains in 1,000
// fragments, and the table goes to .github/BENCHMARKS.md; else it has 10,000.
func BenchmarkScale(b *testing.B) {
	small, large := 1_000, 10_000
	full := os.Getenv("POLICYLIST_FULL") == "1"
	if full {
		small, large = 100_000, 1_000_000
	}
	for b.Loop() {
		t := scaleTable{load: loadAverage(b)}
		for _, domains := range []int{small, large} {
			w := newScaleWorld(b, domains)
			w.walk(func(name, baseline string, c cost) {
				t.add(name, baseline, domains, c)
				if aim := scaleAims[name]; full && (aim.mib > 0 && c.Peak > aim.mib || aim.kb > 0 && c.Bytes > aim.kb*1000) {
					b.Errorf("%s: %.0f MiB, %.1f kB; at most %.0f MiB, %.0f kB", name, c.Peak, c.Bytes/1000, aim.mib, aim.kb)
				}
			})
		}
		text := t.text()
		fmt.Print("\n" + text + "\n")
		if full {
			if err := os.WriteFile("../.github/BENCHMARKS.md", []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// loadAverage is of the last minute: how many others want the processors.
func loadAverage(b *testing.B) string {
	b.Helper()
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	one, _, _ := strings.Cut(string(data), " ")
	return one
}

// scaleAims are for 1,000,000 domains; 0 is none. Times are told only: they depend on what else the machine does.
var scaleAims = map[string]struct{ mib, kb float64 }{
	"release, 0.2 % changed":     {1024, 0},
	"delta update from a folder": {maxClient, 450},
	"delta update from S3":       {maxClient, 100},
	"snapshot update":            {maxClient, 0},
	"first snapshot":             {maxClient, 0},
	"export to Postfix, cdb":     {maxClient, 0},
}

// maxClient is 200 MB, which a small mail server has to spare.
const maxClient = 200e6 / (1 << 20)

// scaleWorld is an operator's folder, the mirrors and a client of one list.
type scaleWorld struct {
	b       *testing.B
	dir     string
	domains int
	program string // starttls-policy
}

func newScaleWorld(b *testing.B, domains int) *scaleWorld {
	b.Helper()
	w := &scaleWorld{b: b, dir: b.TempDir(), domains: domains}
	w.program = w.path("starttls-policy")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", w.program, "../cmd/starttls-policy").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	w.step("setup")
	w.must(os.RemoveAll(w.path("list/domains")))
	w.writeSource("mx")
	return w
}

func (w *scaleWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *scaleWorld) must(err error) {
	w.b.Helper()
	if err != nil {
		w.b.Fatal(err)
	}
}

// perFragment is how many domains stand in one file of the source.
const perFragment = 1_000

// changing is the first domain that a release changes; every five hundredth from there is another.
const changing = 250

// maxSite is the largest list whose site is built here. Each domain has pages of its own, and a million take an hour.
const maxSite = 100_000

// scaleDomain is the domain of that number, below 26^5, of 6 to 15 letters: each once, by the first five, and with nothing that
// a compressor finds, which would make every transfer cheaper than those of a real list.
func scaleDomain(i int) string {
	letters := make([]byte, 0, 15)
	for n := i * 7_654_321 % 11_881_376; len(letters) < 5; n /= 26 { // a factor without a common divisor: each number once
		letters = append(letters, 'a'+byte(n%26))
	}
	rnd := rand.New(rand.NewPCG(uint64(i), 0))
	for range 1 + rnd.IntN(10) {
		letters = append(letters, 'a'+byte(rnd.IntN(26)))
	}
	return string(letters) + ".example"
}

// writeSource writes the fragments. Two of three domains are with one of ten providers, the others have hosts of their own, as
// has every five hundredth, whose are called by host.
func (w *scaleWorld) writeSource(host string) {
	w.b.Helper()
	for first := 0; first < w.domains; first += perFragment {
		var lines []string
		for i := first; i < first+perFragment; i++ {
			domain := scaleDomain(i)
			mx1, mx2 := fmt.Sprintf("mx1.provider%d.example", i%10), fmt.Sprintf("mx2.provider%d.example", i%10)
			switch {
			case i%500 == changing:
				mx1, mx2 = host+"1."+domain, host+"2."+domain
			case i%3 == 0:
				mx1, mx2 = "mx1."+domain, "mx2."+domain
			}
			lines = append(lines, fmt.Sprintf("%q:{\"mode\":\"enforce\",\"mxs\":[%q,%q]}", domain, mx1, mx2))
		}
		slices.Sort(lines)
		text := "{\"policies\":{\n" + strings.Join(lines, ",\n") + "\n}}\n"
		w.must(os.WriteFile(w.path(fmt.Sprintf("list/f%04d.json", first/perFragment)), []byte(text), 0o644))
	}
}

// step runs one of scaleSteps in a process of its own.
func (w *scaleWorld) step(name string, env ...string) (c cost) {
	w.b.Helper()
	cmd := exec.CommandContext(w.b.Context(), os.Args[0], "-test.run", "^TestScaleStep$", "-test.timeout", "30m")
	cmd.Env = append(append(os.Environ(), scaleStep+"="+name, scaleDir+"="+w.dir), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.b.Fatalf("%s: %v\n%s", name, err, out)
	}
	if name == "setup" {
		return c
	}
	data, err := os.ReadFile(w.path(scaleResult))
	w.must(err)
	w.must(json.Unmarshal(data, &c))
	return c
}

// run runs a program as it is. What memory it took says wait4(2); this process, whose size would count as well, stays small.
func (w *scaleWorld) run(cmd *exec.Cmd) cost {
	w.b.Helper()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.b.Fatalf("%s: %v\n%s", cmd.Args, err, out)
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{Wall: time.Since(began).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), Peak: float64(u.Maxrss) / 1024}
}

// policy runs starttls-policy with the configuration of a client.
func (w *scaleWorld) policy(client string, args ...string) cost {
	w.b.Helper()
	return w.run(exec.CommandContext(w.b.Context(), w.program, append(args, "--config", w.path(client+".toml"))...))
}

// walk does everything, and tells what each step took, and that of the step before with which it is compared, "" for none.
func (w *scaleWorld) walk(tell func(name, baseline string, c cost)) {
	w.b.Helper()
	tell("bare JSON decode of the source", "", w.step("decode"))
	tell("check", "bare JSON decode of the source", w.step("check"))
	tell("Tessera POSIX, as many leaves", "", w.step("tessera"))
	tell("first release", "Tessera POSIX, as many leaves", w.step("first"))
	tell("sha256 of policy.json", "", w.step("hash"))
	tell("cp of policy.json", "", w.step("copy"))
	tell("compile", "cp of policy.json", w.step("compile"))
	w.join()
	w.writeSource("mail")
	tell("release, 0.2 % changed", "cp of policy.json", w.step("release"))
	w.clients(tell)
	tell("sha256 of all of the mirror", "", w.step("fsck"))
	tell("audit", "sha256 of all of the mirror", w.step("audit"))
	if w.domains <= maxSite {
		tell("site, from nothing", "sha256 of all of the mirror", w.step("site"))
	}
	w.must(os.RemoveAll(w.dir))
}

// join makes the client that holds the first release.
func (w *scaleWorld) join() {
	w.b.Helper()
	chain, err := mirror.ReadTrust(w.path(pipeline.TrustDir))
	w.must(err)
	fingerprint := fmt.Sprintf("%x", chain.Newest().Digest())
	w.run(exec.CommandContext(w.b.Context(), w.program, "join", w.path("public"), "--fingerprint", fingerprint, "--name", "example",
		"--state", w.path("first"), "--mta", "none", "--config", w.path("first.toml")))
}

// client makes one that holds the first release, or with empty none, and keeps a Postfix table.
func (w *scaleWorld) client(name, url string, empty bool) {
	w.b.Helper()
	w.must(os.CopyFS(w.path(name), os.DirFS(w.path("first"))))
	if empty {
		for _, file := range []string{"policy.json", "policy.json.tlog-proof", "state.json", "state.old.json"} {
			os.Remove(filepath.Join(w.path(name), "example", file))
		}
	}
	w.must(os.WriteFile(w.path(name+".toml"), fmt.Appendf(nil, "state = %q\n[[list]]\nname = \"example\"\nmirrors = [%q]\n[postfix]\nmap = %q\ntype = \"cdb\"\ndialect = \"floor\"\n",
		w.path(name), url, w.path(name+"/table")), 0o644))
}

// clients measures what mail servers do.
func (w *scaleWorld) clients(tell func(name, baseline string, c cost)) {
	w.b.Helper()
	folder := newCounter(w.b, os.DirFS(w.path("public")))
	store := w.bucket(tell)
	for _, u := range []struct {
		name, method string
		from         *counter
		empty        bool
	}{
		{"delta update from a folder", "delta", folder, false},
		{"delta update from S3", "delta", store, false},
		{"snapshot update", "snapshot", folder, false},
		{"first snapshot", "snapshot", folder, true},
	} {
		client := strings.ReplaceAll(u.name, " ", "-")
		w.client(client, u.from.url, u.empty)
		u.from.reset()
		c := w.policy(client, "update", "--method", u.method)
		c.Bytes, c.Requests = u.from.said()
		tell(u.name, "sha256 of policy.json", c)
	}
	w.exports(tell)
	w.serve(tell)
}

// bucket uploads the mirror to S3.
func (w *scaleWorld) bucket(tell func(name, baseline string, c cost)) *counter {
	w.b.Helper()
	g := storetest.StartVersityGW(w.b)
	tell("upload to S3, all", "", w.step("upload", append(g.Env(), scaleStore+"="+g.URL(""))...))
	return newSigningCounter(w.b, g)
}

// exports compares the table that we make with that of postmap.
func (w *scaleWorld) exports(tell func(name, baseline string, c cost)) {
	w.b.Helper()
	const client = "delta-update-from-a-folder"
	table := w.path("exported")
	ours := w.policy(client, "export", "postfix", "--dialect", "floor", "--type", "cdb", "--out", table)
	postfix := tool.NewPostfix(w.b, "cdb")
	theirs := w.run(postfix.Command(w.b.Context(), w.b, "postmap", "cdb:"+table))
	tell("postmap cdb", "", theirs)
	tell("export to Postfix, cdb", "postmap cdb", ours)
}
