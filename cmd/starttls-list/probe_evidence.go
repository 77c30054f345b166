package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// maxZstdWindow caps what a compressed evidence file may make us remember.
const maxZstdWindow = 64 << 20

// evidenceInputs are files that people name. One whose name ends in .zst is decompressed, as mirrors hold them.
func evidenceInputs(paths []string) []probe.EvidenceFile {
	files := make([]probe.EvidenceFile, len(paths))
	for i, path := range paths {
		files[i] = probe.EvidenceFile{Name: path, Open: func() (io.ReadCloser, error) { return openEvidence(path) }}
	}
	return files
}

func openEvidence(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return decompressed(path, f)
}

// decompressed takes the compression off what is called .zst. It owns in.
func decompressed(name string, in io.ReadCloser) (io.ReadCloser, error) {
	if !strings.HasSuffix(name, ".zst") {
		return in, nil
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return unzstd{z, in}, nil
}

// unzstd is a decompressed file. What is no zstd is no evidence either.
type unzstd struct {
	*zstd.Decoder
	file io.Closer
}

func (u unzstd) Read(p []byte) (int, error) {
	n, err := u.Decoder.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", probe.ErrEvidence, err)
	}
	return n, err
}

func (u unzstd) Close() error {
	u.Decoder.Close()
	return u.file.Close()
}

// vantageKeys are the keys of --source and --key, nil for none, and the quorum of the source, 0 for none.
func vantageKeys(source string, given []string) (map[string]ed25519.PublicKey, int, error) {
	var keys map[string]ed25519.PublicKey
	quorum := 0
	if source != "" {
		settings, err := readSettings(source)
		if err != nil {
			return nil, 0, fmt.Errorf("--source: %w", err)
		}
		if len(settings.Vantages) == 0 {
			return nil, 0, fmt.Errorf("--source: %s names no vantages, so nobody's evidence counts", source)
		}
		keys, quorum = settings.VantageKeys(), settings.Quorum
	}
	owner := make(map[string]string)
	for name, key := range keys {
		owner[string(key)] = name
	}
	for _, g := range given {
		name, text, _ := strings.Cut(g, "=")
		key, err := base64.StdEncoding.Strict().DecodeString(text)
		switch {
		case name == "" || err != nil || len(key) != ed25519.PublicKeySize:
			return nil, 0, fmt.Errorf("--key %q is not NAME=KEY, the key in base64 as list.json has it", g)
		case policy.WeakKey(key):
			return nil, 0, fmt.Errorf("--key %q: this is no key: anybody can sign for it", name)
		case keys[name] != nil || owner[string(key)] != "":
			return nil, 0, fmt.Errorf("--key %q: the name or the key is there already: one vantage would count twice", name)
		case keys == nil:
			keys = make(map[string]ed25519.PublicKey)
		}
		keys[name], owner[string(key)] = key, name
	}
	return keys, quorum, nil
}

// readSettings reads list.json of a source, given its folder or itself.
func readSettings(source string) (policy.Settings, error) {
	path := source
	if info, err := os.Stat(source); err == nil && info.IsDir() {
		path = filepath.Join(source, "list.json")
	}
	data, err := readFile(path, maxSmallFile)
	if err != nil {
		return policy.Settings{}, err
	}
	settings, findings := policy.ParseSettings(policy.File{Path: path, Data: data})
	if policy.HasErrors(findings) {
		return settings, fmt.Errorf("%s: %s", findings[0].Position, findings[0].Summary)
	}
	return settings, nil
}

// evidenceError is the caller's mistake where a file is no evidence or cannot be read, but not where writing fails.
func evidenceError(err error) error {
	var path *os.PathError
	var exit *term.Exit
	switch {
	case err == nil, errors.As(err, &exit):
		return err
	case errors.Is(err, probe.ErrEvidence):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "schema/README.md says what an evidence file is; fetch it again from the vantage that made it"}
	case errors.As(err, &path) && slices.Contains([]string{"open", "read", "stat", "lstat"}, path.Op):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "name files of evidence, as starttls-list probe --out FILE writes them"}
	}
	return err
}
