package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

const (
	dialectAuto = "auto"
	texthash    = "texthash"
	cdb         = "cdb"
)

// postconfDeadline is for one question to Postfix.
const postconfDeadline = 10 * time.Second

// compiledSuffix is what postmap appends to the name of a table, by type; texthash is read as it is.
var compiledSuffix = map[tableType]string{texthash: "", "lmdb": ".lmdb", cdb: ".cdb", "hash": ".db", "btree": ".db"}

// preferredTypes are tried in this order: cdb needs no postmap, for we write it ourselves, and is replaced by a rename;
// lmdb is fast; hash and btree are what a stock Postfix has; texthash is read only when a Postfix process starts.
var preferredTypes = []tableType{cdb, "lmdb", "hash", "btree", texthash}

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

// tableTypes are those of this Postfix; ok is false when there is none to ask. A line of main.cf with any other type
// makes it defer all mail, so no such line may be recommended.
func tableTypes(ctx context.Context) (types []string, ok bool) {
	answer, ok := postconf(ctx, "-m")
	return strings.Fields(answer), ok && answer != ""
}

// chooseType takes the best type that this Postfix has. A stock Debian Postfix has neither cdb nor lmdb. Every Postfix
// has texthash from 2.8 on, so that is what a machine without one gets.
func chooseType(ctx context.Context) tableType {
	has, _ := tableTypes(ctx)
	for _, t := range preferredTypes {
		if slices.Contains(has, string(t)) {
			return t
		}
	}
	return texthash
}
