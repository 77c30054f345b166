//go:build linux

package pipeline_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/site"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/tilelog/tesseratest"
)

// cost is what one operation took, as its own process.
type cost struct {
	Wall     float64 // seconds
	CPU      float64 // seconds of user and system together, which other programs on the machine hardly change
	Peak     float64 // MiB of resident memory, the most at any time
	Bytes    float64 // over the network, or written
	Requests float64
}

// Variables that make this test binary run one step in a process of its own, and tell it where.
const (
	scaleStep   = "POLICYLIST_SCALE_STEP"
	scaleDir    = "POLICYLIST_SCALE_DIR"
	scaleStore  = "POLICYLIST_SCALE_STORE" // a mirror on S3
	scaleResult = "result.json"
)

// TestScaleStep is a step of BenchmarkScale, which runs it in a process of its own: what memory an operation takes is known
// of processes only.
func TestScaleStep(t *testing.T) {
	name := os.Getenv(scaleStep)
	if name == "" {
		t.Skip("it is run by BenchmarkScale")
	}
	step, ok := scaleSteps[name]
	if !ok {
		t.Fatalf("there is no step %q", name)
	}
	s := &stepRun{operator: &operator{t: t, dir: os.Getenv(scaleDir), now: time.Now().UTC().Truncate(time.Second)}}
	step(s)
	data, err := json.Marshal(s.cost)
	if err != nil {
		t.Fatal(err)
	}
	s.write(scaleResult, string(data))
}

// stepRun is a step under way.
type stepRun struct {
	*operator
	cost cost
}

// measured runs what the step is about; what it needs is there before.
func (s *stepRun) measured(work func() error) {
	s.t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	// proc(5): 5 resets the peak resident set size, so that what was needed before does not count.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		s.t.Fatal(err)
	}
	began, used := time.Now(), processorTime(s.t)
	if err := work(); err != nil {
		s.t.Fatal(err)
	}
	s.cost.Wall, s.cost.CPU = time.Since(began).Seconds(), (processorTime(s.t) - used).Seconds()
	s.cost.Peak = peakMemory(s.t, os.Getpid())
}

// peakMemory is VmHWM of a process, in MiB.
func peakMemory(t testing.TB, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}

// scaleSteps are what is measured, and what it is compared with.
var scaleSteps = map[string]func(*stepRun){
	"setup":   func(s *stepRun) { s.must(pipeline.Setup(s.dir, pipeline.SetupOptions{Plain: true, Now: s.now})) },
	"decode":  (*stepRun).decode,
	"hash":    (*stepRun).hash,
	"copy":    (*stepRun).copy,
	"check":   func(s *stepRun) { s.measured(func() error { return s.checked(nil) }) },
	"compile": (*stepRun).compile,
	"first":   func(s *stepRun) { s.makeRelease(-time.Hour) },
	"release": func(s *stepRun) { s.makeRelease(0) },
	"upload":  (*stepRun).upload,
	"audit":   (*stepRun).audit,
	"fsck":    (*stepRun).hashLog,
	"site":    func(s *stepRun) { s.site() },
	"tessera": (*stepRun).tessera,
}

func (s *stepRun) must(_ any, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// decode is the bare decoding of the source by encoding/json: no rule is looked at.
func (s *stepRun) decode() {
	s.measured(func() error {
		paths, err := filepath.Glob(s.path("list/f*.json"))
		for _, path := range paths {
			data, errRead := os.ReadFile(path)
			var v any
			err = errors.Join(err, errRead, json.Unmarshal(data, &v))
		}
		return err
	})
}

// hash is the SHA-256 of policy.json, without which no list counts.
func (s *stepRun) hash() {
	s.measured(func() error {
		f, err := os.Open(s.path("public/policy.json"))
		if err != nil {
			return err
		}
		defer f.Close()
		s.cost.Bytes = float64(must(io.Copy(sha256.New(), f)))
		return nil
	})
}

// copy is cp of policy.json with fsync.
func (s *stepRun) copy() {
	s.measured(func() error {
		out, err := exec.CommandContext(s.t.Context(), "dd", "if="+s.path("public/policy.json"), "of="+s.path("copied"), "bs=1M", "conv=fsync").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// tessera appends as many leaves as the first release has to a log of Tessera's on a folder.
func (s *stepRun) tessera() {
	var c pipeline.Checked
	s.must(nil, s.checked(&c))
	var leaves [][]byte
	for _, e := range c.Entries() {
		leaves = append(leaves, mirror.ChangeLeaf{Domain: e.Domain, Policy: &e.Policy, Reason: "add.enforce", Release: 1}.Append(nil))
	}
	log := tesseratest.New(s.t, uint(len(leaves)), time.Minute) // one batch: several may overtake each other
	s.measured(func() error { log.Append(s.t, 0, leaves); return nil })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// checked checks the source, which must be good, into c unless that is nil.
func (s *stepRun) checked(c *pipeline.Checked) error {
	got, err := pipeline.Check(s.t.Context(), s.path(pipeline.SourceDir))
	if err == nil && len(got.Findings()) > 0 {
		err = fmt.Errorf("%v", got.Findings()[0])
	}
	if c != nil {
		*c = got
	}
	return err
}

// compile makes policy.json of a checked source.
func (s *stepRun) compile() {
	var c pipeline.Checked
	s.must(nil, s.checked(&c))
	s.measured(func() error {
		list, err := policy.NewList(c.Entries())
		if err != nil {
			return err
		}
		f, err := os.Create(s.path("compiled"))
		if err != nil {
			return err
		}
		defer f.Close()
		size, _, err := list.Write(f, policy.Header{Timestamp: s.now, Expires: s.now.AddDate(0, 0, 14), Author: "scale"})
		s.cost.Bytes = float64(size)
		return err
	})
}

// makeRelease releases what is checked already, and fetches nothing back.
func (s *stepRun) makeRelease(age time.Duration) {
	s.now = s.now.Add(age)
	s.Publisher = s.publisher("public")
	s.SkipVerify = true
	var c pipeline.Checked
	s.must(nil, s.checked(&c))
	s.measured(func() error { _, err := s.ReleaseChecked(s.t.Context(), c); return err })
}

// upload copies the mirror to S3, verifying everything.
func (s *stepRun) upload() {
	from, err := dir.OpenReader(s.path("public"))
	s.must(nil, err)
	o, err := s3.Parse(os.Getenv(scaleStore))
	s.must(nil, err)
	to, err := s3.Open(s.t.Context(), o)
	s.must(nil, err)
	chain, err := mirror.ReadTrust(s.path(pipeline.TrustDir))
	s.must(nil, err)
	s.measured(func() error {
		done, err := (&mirror.Sync{From: from, To: to, Chain: chain}).Run(s.t.Context())
		s.cost.Bytes, s.cost.Requests = float64(done.Bytes), float64(done.ToRequests)
		return err
	})
}

// audit replays the whole log and compares all that is served with it.
func (s *stepRun) audit() {
	from, err := dir.OpenReader(s.path("public"))
	s.must(nil, err)
	chain, err := mirror.ReadTrust(s.path(pipeline.TrustDir))
	s.must(nil, err)
	s.measured(func() error {
		report, err := (&audit.Audit{Mirror: from, Trust: chain.Newest()}).Run(s.t.Context())
		if err == nil && len(report.Findings) > 0 {
			err = fmt.Errorf("%v", report.Findings[0])
		}
		s.cost.Requests = float64(report.Requests)
		return err
	})
}

// hashLog is the SHA-256 of every file of the mirror.
func (s *stepRun) hashLog() {
	s.measured(func() error {
		return filepath.WalkDir(s.path("public"), func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			s.cost.Bytes += float64(len(data))
			sha256.Sum256(data)
			return err
		})
	})
}

// site builds the pages of the mirror from nothing into a folder.
func (s *stepRun) site() {
	from, err := dir.OpenReader(s.path("public"))
	s.must(nil, err)
	chain, err := mirror.ReadTrust(s.path(pipeline.TrustDir))
	s.must(nil, err)
	to, err := dir.Open(s.path("site"))
	s.must(nil, err)
	s.measured(func() error {
		m, err := site.Read(s.t.Context(), from, chain, site.Extra{Cache: s.path("cache")})
		if err != nil {
			return err
		}
		report, err := site.Build(s.t.Context(), m, to, site.Options{})
		s.cost.Bytes, s.cost.Requests = float64(report.Bytes), float64(report.Written)
		return err
	})
}
