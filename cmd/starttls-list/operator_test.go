package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// operator is a list operator's folder as init makes it, whose releases a test makes an hour apart.
type operator struct {
	t   testing.TB
	dir string
	p   *pipeline.Publisher
	now time.Time
}

// All of a process's operators have the same keys, which are not encrypted: making and opening encrypted ones takes
// seconds under the race detector, for each of them.
func newOperator(t testing.TB) *operator {
	t.Helper()
	t.Setenv("COSIGN_PASSWORD", "correct-horse")
	folder, err := operatorFolder()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "op")
	if err := os.CopyFS(dir, folder); err != nil {
		t.Fatal(err)
	}
	return openOperator(t, dir, time.Now())
}

// newStranger is an operator with keys of its own.
func newStranger(t testing.TB) *operator {
	t.Helper()
	t.Setenv("COSIGN_PASSWORD", "correct-horse")
	dir := filepath.Join(t.TempDir(), "stranger")
	if err := setupOperator(dir); err != nil {
		t.Fatal(err)
	}
	return openOperator(t, dir, time.Now())
}

func setupOperator(dir string) error {
	_, err := pipeline.Setup(dir, pipeline.SetupOptions{Origin: "list.operator.example/2026", Password: []byte("correct-horse"), Now: time.Now()})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, configName), []byte(configText), 0o644)
}

// operatorFolder is what a new operator's folder holds, in memory.
var operatorFolder = sync.OnceValues(func() (fs.FS, error) {
	temp, err := os.MkdirTemp("", "operator")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	dir := filepath.Join(temp, "op")
	if err := setupOperator(dir); err != nil {
		return nil, err
	}
	folder := fstest.MapFS{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		file := &fstest.MapFile{Mode: info.Mode()}
		if !d.IsDir() {
			if file.Data, err = os.ReadFile(path); err == nil {
				file.Data, err = decrypted(file.Data)
			}
		}
		folder[filepath.ToSlash(rel)] = file
		return err
	})
	return folder, err
})

// decrypted is a private key as plain PKCS#8, and everything else as it is.
func decrypted(data []byte) ([]byte, error) {
	block, _ := pem.Decode(data)
	if block == nil || !strings.HasPrefix(block.Type, "ENCRYPTED ") {
		return data, nil
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(data, cryptoutils.StaticPasswordFunc([]byte("correct-horse")))
	if err != nil {
		return nil, err
	}
	return cryptoutils.MarshalPrivateKeyToPEM(key)
}

func openOperator(t testing.TB, dir string, now time.Time) *operator {
	t.Helper()
	c := newReleaseCommand()
	c.SetContext(t.Context())
	c.SetErr(io.Discard)
	p, err := openPublisher(c, filepath.Join(dir, configName))
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t, dir, p, now}
	p.Now, p.SkipVerify, p.Observer = func() time.Time { return o.now }, true, allPass{}
	return o
}

// fork is the same operator in a second folder: whoever holds the keys twice.
func (o *operator) fork() *operator {
	o.t.Helper()
	dir := filepath.Join(o.t.TempDir(), "fork")
	if err := os.CopyFS(dir, os.DirFS(o.dir)); err != nil {
		o.t.Fatal(err)
	}
	return openOperator(o.t, dir, o.now)
}

// release makes the next release, with n domains of its own when n > 0.
func (o *operator) release(n int) {
	o.t.Helper()
	o.now = o.now.Add(time.Hour)
	if n > 0 {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%q: {\"mode\": \"testing\", \"mxs\": [\"mx.d%d.example\"]},\n", fmt.Sprintf("d%d.example", i), i)
		}
		text := "{\"policies\": {\n" + strings.TrimSuffix(b.String(), ",\n") + "\n}}\n"
		if err := os.WriteFile(o.path("list/domains/many.json"), []byte(text), 0o644); err != nil {
			o.t.Fatal(err)
		}
	}
	if _, err := o.p.Release(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *operator) path(name string) string { return filepath.Join(o.dir, filepath.FromSlash(name)) }

// public is the folder of the operator's mirror.
func (o *operator) public() string { return o.path("public") }

// copyPublic is a copy of the mirror as it is now, made without the tool.
func (o *operator) copyPublic() string {
	o.t.Helper()
	dir := filepath.Join(o.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(o.public())); err != nil {
		o.t.Fatal(err)
	}
	return dir
}

// allPass observes that every domain works, so that releases have evidence.
type allPass struct{}

func (allPass) Probe(_ context.Context, targets []probe.Target) ([]probe.Result, error) {
	var out []probe.Result
	for _, t := range targets {
		line := fmt.Appendf(nil, `{"codes":[],"domain":"%s","verdict":"pass"}`, t.Domain)
		out = append(out, probe.Result{Domain: t.Domain, Judgement: probe.Judgement{Verdict: probe.Pass}, Line: line})
	}
	return out, nil
}

func (allPass) Header(context.Context, string) (probe.Header, error) {
	return probe.Header{Vantage: "test"}, nil
}

// list runs starttls-list and fails the test on another exit code.
func list(t testing.TB, code int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if got := run(t.Context(), args, strings.NewReader(""), &out, &out); got != code {
		t.Fatalf("starttls-list %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

// files reads a folder; what stores have in their temporary folder is no object.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && strings.HasPrefix(d.Name(), ".tmp") {
				return filepath.SkipDir
			}
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same fails the test unless both folders hold the same objects.
func same(t testing.TB, a, b string) {
	t.Helper()
	x, y := files(t, a), files(t, b)
	for name := range x {
		if x[name] != y[name] {
			t.Errorf("%s differs, or is only in %s", name, a)
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			t.Errorf("%s is only in %s", name, b)
		}
	}
}

// flip changes one bit in the middle of a file.
func flip(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// firstMatch is the first file of a folder that matches the pattern.
func firstMatch(t testing.TB, dir, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: nothing matches %s: %v", dir, pattern, err)
	}
	return paths[0]
}
