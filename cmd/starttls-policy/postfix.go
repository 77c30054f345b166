package main

import (
	"context"
	"errors"
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

// errNoPostfix says that there is no Postfix here to ask. One that does not answer is something else: main.cf may not be
// readable, or wrong, or the machine may be too busy, and the Postfix that delivers is the one that it was.
var errNoPostfix = errors.New("there is no postconf here")

// askPostfix asks Postfix about itself.
func askPostfix(ctx context.Context, args ...string) (answer string, err error) {
	path, err := program("postconf")
	if err != nil {
		return "", errNoPostfix
	}
	ctx, cancel := context.WithTimeout(ctx, postconfDeadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return "", errors.Join(complaintOf(path, err), ctx.Err())
	}
	return strings.TrimSpace(string(out)), nil
}

// postconf is askPostfix for who has no use for the reason; ok is false when there is none to ask, or it does not answer.
func postconf(ctx context.Context, args ...string) (answer string, ok bool) {
	answer, err := askPostfix(ctx, args...)
	return answer, err == nil
}

// dialectFor resolves "auto". Without a Postfix to ask, sni serves every version that is still maintained. With an error,
// when one does not answer, comes legacy, which every Postfix reads.
func dialectFor(ctx context.Context, name dialectName) (mta.Dialect, error) {
	if d, err := mta.ParseDialect(string(name)); err == nil {
		return d, nil
	}
	answer, err := askPostfix(ctx, "-h", "mail_version")
	if err != nil && !errors.Is(err, errNoPostfix) {
		return mta.Legacy, err
	}
	if d, err := mta.DialectOf(answer); err == nil {
		return d, nil
	}
	return mta.SNI, nil
}

// dialectOfTable is dialectFor, but the dialect that the table has stays while Postfix does not answer: an older one would
// weaken what Postfix checks, and with a newer one Postfix might defer the mail of every listed domain.
func dialectOfTable(ctx context.Context, p postfixConfig, state string) (mta.Dialect, error) {
	d, err := dialectFor(ctx, p.Dialect)
	if err == nil {
		return d, nil
	}
	names := []string{writtenDialect(string(p.Map))}
	if last := loadLastUpdate(state).Postfix; last != nil {
		names = append(names, last.Dialect) // while everything is switched off the table has none
	}
	for _, name := range names {
		if before, errName := mta.ParseDialect(name); errName == nil {
			return before, err
		}
	}
	return d, err
}

// writtenDialect is what a table says of itself in its first lines, "" for nothing.
func writtenDialect(path string) string {
	head, err := headOf(path)
	if err != nil {
		return ""
	}
	for text := range strings.Lines(head) {
		if !strings.HasPrefix(text, "#") {
			break
		}
		if _, after, ok := strings.Cut(text, "(smtp_tls_policy_maps), dialect "); ok {
			name, _, _ := strings.Cut(after, ".")
			return name
		}
	}
	return ""
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
