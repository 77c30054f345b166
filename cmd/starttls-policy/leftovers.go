package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftOver is from when on a temporary file or folder is nobody's work any more: postmap of a million domains takes a minute.
const leftOver = 3 * time.Hour

// sweepTables removes what killed commands left of a table that they were writing, up to a hundred megabytes each, and of
// other files of the state folder. By their age and not by a lock: "disable" waits for nobody.
func (a *app) sweepTables(cfg config) {
	err := sweepOld(cfg.State, "", a.now())
	if cfg.Postfix != nil {
		if dir, name := filepath.Split(string(cfg.Postfix.Map)); filepath.Clean(dir) != filepath.Clean(cfg.State) {
			err = errors.Join(err, sweepOld(dir, name, a.now())) // other programs may have temporary files there
		}
	}
	if err != nil {
		a.complain("temporary files of an earlier command stay: %v", err) // they cost their space, nothing else
	}
}

// sweepOld removes the old ones of all whose names begin so.
func sweepOld(dir, name string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		at := strings.LastIndexByte(e.Name(), '-') + 1 // os.CreateTemp and os.MkdirTemp put digits for the star
		if digits := e.Name()[at:]; !temporary(e.Name()) || digits == "" || strings.Trim(digits, "0123456789") != "" || !strings.HasPrefix(e.Name(), ".tmp-"+name) {
			continue
		}
		if info, errInfo := e.Info(); errInfo == nil && now.Sub(info.ModTime()) >= leftOver {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
