package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

const (
	dialectAuto = "auto"
	texthash    = "texthash"
)

// Deadlines of Postfix's own programs. hash takes 15 s for a million lines.
const (
	postconfDeadline = 10 * time.Second
	postmapDeadline  = 5 * time.Minute
)

// compiledSuffix is what postmap appends to the name of a table, by type; texthash is read as it is.
var compiledSuffix = map[tableType]string{texthash: "", "lmdb": ".lmdb", "cdb": ".cdb", "hash": ".db", "btree": ".db"}

// preferredTypes are tried in this order: lmdb and cdb are fast and survive readers, texthash needs no postmap.
var preferredTypes = []tableType{"lmdb", "cdb", "hash", texthash}

// tableType is a Postfix lookup table type.
type tableType string

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *tableType) UnmarshalText(text []byte) error {
	if _, ok := compiledSuffix[tableType(text)]; !ok {
		return fmt.Errorf("table type %q: it is one of lmdb, cdb, hash, btree, texthash", text)
	}
	*t = tableType(text)
	return nil
}

// program finds one of Postfix's programs. A timer's PATH often lacks the sbin folders.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

// postconf asks Postfix about itself; ok is false when there is none to ask.
func postconf(ctx context.Context, args ...string) (answer string, ok bool) {
	path, err := program("postconf")
	if err != nil {
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, postconfDeadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	return strings.TrimSpace(string(out)), err == nil
}

// dialectFor resolves "auto". Without a Postfix to ask, sni serves every version that is still maintained.
func dialectFor(ctx context.Context, name dialectName) mta.Dialect {
	if d, err := mta.ParseDialect(string(name)); err == nil {
		return d
	}
	if answer, ok := postconf(ctx, "-h", "mail_version"); ok {
		if d, err := mta.DialectOf(answer); err == nil {
			return d
		}
	}
	return mta.SNI
}

// chooseType takes the best type that this Postfix has.
func chooseType(ctx context.Context) tableType {
	answer, ok := postconf(ctx, "-m")
	if !ok {
		return texthash
	}
	has := strings.Fields(answer)
	for _, t := range preferredTypes {
		if slices.Contains(has, string(t)) {
			return t
		}
	}
	return texthash
}

// compiles reports whether postmap is to be run.
func (p postfixConfig) compiles() bool {
	return compiledSuffix[p.Type] != "" && (p.Postmap == nil || *p.Postmap)
}

// install puts the text in its place, compiled first if that is asked for, and reports whether anything changed.
// Postfix finds the old table or the new one: both forms are made under other names and renamed, the compiled one,
// which Postfix reads, before the text. A crash in between leaves an old text, so the next call does it all again.
func install(ctx context.Context, p postfixConfig, text []byte) (changed bool, err error) {
	path := string(p.Map)
	if current(p, text) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	if !p.compiles() {
		return true, durable.WriteFile(path, text, 0o644)
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), ".tmp-"+filepath.Base(path)+"-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temp)
	made := filepath.Join(temp, filepath.Base(path))
	if err := durable.WriteFile(made, text, 0o644); err != nil {
		return false, err
	}
	if err := compile(ctx, p.Type, made); err != nil {
		return false, err
	}
	suffix := compiledSuffix[p.Type]
	for _, s := range []string{suffix, ""} {
		if err := os.Rename(made+s, path+s); err != nil {
			return false, err
		}
	}
	return true, durable.SyncDir(filepath.Dir(path))
}

// compile runs postmap and makes its result durable.
func compile(ctx context.Context, t tableType, path string) error {
	postmap, err := program("postmap")
	if err != nil {
		return fmt.Errorf("type = %q needs Postfix's postmap: %w", t, err)
	}
	ctx, cancel := context.WithTimeout(ctx, postmapDeadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, postmap, string(t)+":"+path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("postmap %s: %w: %s", t, err, bytes.TrimSpace(out[:min(len(out), 1000)]))
	}
	f, err := os.Open(path + compiledSuffix[t])
	if err != nil {
		return fmt.Errorf("postmap %s made no table: %w", t, err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// current reports whether the table is there with this text, and compiled from it.
func current(p postfixConfig, text []byte) bool {
	held, err := os.ReadFile(string(p.Map))
	if err != nil || !bytes.Equal(held, text) {
		return false
	}
	if !p.compiles() {
		return true
	}
	source, err := os.Stat(string(p.Map))
	if err != nil {
		return false
	}
	made, err := os.Stat(string(p.Map) + compiledSuffix[p.Type])
	return err == nil && !made.ModTime().Before(source.ModTime()) && fs.FileMode.IsRegular(made.Mode())
}

// caBundles are where systems keep the CA certificates in one file.
var caBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// mainLines are the lines for main.cf, as this Postfix, if there is one, needs them.
func mainLines(ctx context.Context, p postfixConfig) []string {
	ours := string(p.Type) + ":" + string(p.Map)
	maps := ours
	if old, ok := postconf(ctx, "-h", "smtp_tls_policy_maps"); ok && old != "" {
		maps = old // what the administrator wrote comes first and so overrides the list
		if !strings.Contains(old, ours) {
			maps = old + ", " + ours
		}
	}
	lines := []string{"smtp_tls_policy_maps = " + maps}
	file, _ := postconf(ctx, "-h", "smtp_tls_CAfile")
	path, _ := postconf(ctx, "-h", "smtp_tls_CApath")
	if file == "" && path == "" {
		bundle := caBundles[0]
		for _, b := range slices.Backward(caBundles) {
			if _, err := os.Stat(b); err == nil {
				bundle = b
			}
		}
		lines = append(lines, "smtp_tls_CAfile = "+bundle)
	}
	if level, _ := postconf(ctx, "-h", "smtp_tls_security_level"); level == "" {
		lines = append(lines, "smtp_tls_security_level = may")
	}
	return lines
}
