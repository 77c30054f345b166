package tilelog

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// The root file is text: four lines, each ended by a newline, and nothing else.
//
//	policylist/tilelog/v1
//	size 100000
//	hash <the root hash, 32 bytes, standard base64>
//	sum <SHA-256 of the three lines above, standard base64>
//
// The sum is not a signature. It tells a torn or edited file from a log whose tiles do not fit.
const (
	rootName    = "root"
	rootKind    = "policylist/tilelog/"
	rootVersion = "v1"

	// maxRootBytes caps the reading of a root file; a valid one has at most 150 bytes.
	maxRootBytes = 1024
	// maxSize keeps the index arithmetic of tlog far away from an overflow.
	maxSize = 1 << 48
)

func formatRoot(t tlog.Tree) []byte {
	text := fmt.Sprintf("%s%s\nsize %d\nhash %s\n", rootKind, rootVersion, t.N, t.Hash)
	sum := sha256.Sum256([]byte(text))
	return []byte(text + "sum " + base64.StdEncoding.EncodeToString(sum[:]) + "\n")
}

// parseRoot accepts exactly what formatRoot returns. Its errors say what is wrong with the file and what it may be.
func parseRoot(data []byte) (tlog.Tree, error) {
	kind, _, _ := strings.Cut(string(data), "\n")
	version, ok := strings.CutPrefix(kind, rootKind)
	switch {
	case len(data) == 0:
		return tlog.Tree{}, errors.New("it is empty")
	case !ok:
		return tlog.Tree{}, fmt.Errorf("it is the root file of something else, its first line is %.40q", kind)
	case version != rootVersion:
		return tlog.Tree{}, fmt.Errorf("it has format version %.10q, this program knows %s", version, rootVersion)
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 5 || lines[4] != "" {
		return tlog.Tree{}, errors.New("it is cut short or has text after its end")
	}
	text, sum := strings.Join(lines[:3], "\n")+"\n", sha256.New()
	sum.Write([]byte(text))
	if lines[3] != "sum "+base64.StdEncoding.EncodeToString(sum.Sum(nil)) {
		return tlog.Tree{}, errors.New("its text does not have the checksum in its last line")
	}
	size, okSize := strings.CutPrefix(lines[1], "size ")
	n, errSize := strconv.ParseInt(size, 10, 64)
	encoded, okHash := strings.CutPrefix(lines[2], "hash ")
	hash, errHash := base64.StdEncoding.DecodeString(encoded)
	if !okSize || errSize != nil || n < 0 || n > maxSize || !okHash || errHash != nil || len(hash) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("its size or hash is malformed: %.40q, %.60q", lines[1], lines[2])
	}
	t := tlog.Tree{N: n, Hash: tlog.Hash(hash)}
	if string(formatRoot(t)) != string(data) {
		return tlog.Tree{}, errors.New("its numbers are not in canonical form")
	}
	return t, nil
}

// readRoot reads the root file. Errors: fs.ErrNotExist, ErrCorrupt, or an I/O error.
func readRoot(d *disk) (tlog.Tree, error) {
	data, err := d.read(rootName, maxRootBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return tlog.Tree{}, err
	}
	if err == nil {
		var t tlog.Tree
		if t, err = parseRoot(data); err == nil {
			return t, nil
		}
	} else if !errors.Is(err, errTooLong) {
		return tlog.Tree{}, err
	}
	return tlog.Tree{}, fmt.Errorf("%w: root file %s: %w: "+
		"restore it from a copy, or rebuild the log from a mirror; do not edit it",
		ErrCorrupt, filepath.Join(d.dir, rootName), err)
}

// writeRoot replaces the root file durably. When uncertain is true, the new root may be in place and may survive a power
// failure, or not.
func writeRoot(d *disk, t tlog.Tree) (uncertain bool, err error) {
	f := file{path: rootName, data: formatRoot(t)}
	temp, err := d.stage(f)
	if err != nil {
		return false, err
	}
	if err := d.rename(temp, f); err != nil {
		return true, err
	}
	if err := d.syncDir("."); err != nil {
		return true, err
	}
	return false, nil
}
