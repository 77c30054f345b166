package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// entries are the overrides that hold now and ask for something.
func (l localSay) entries() (out []policy.Entry) {
	for d := range l.overrides {
		if o, ok := l.overrides.Find(d, l.now); ok && len(o.Policy.MXs) > 0 {
			out = append(out, policy.Entry{Domain: d, Policy: o.Policy})
		}
	}
	return out
}

// alone is what the administrator says where no list is in force: no list gave it, so no list's end takes it away.
func (l localSay) alone() (policy.List, error) { return policy.NewList(l.entries()) }

// header is of a file that has nothing but overrides: it ends with the first of them.
func (l localSay) header() mta.Header {
	h := mta.Header{Origin: "none", Expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	for d := range l.overrides {
		if o, ok := l.overrides.Find(d, l.now); ok && !o.Until.IsZero() && o.Until.Before(h.Expires) {
			h.Expires = o.Until
		}
	}
	return h
}

// unknown is the table while nobody knows what the lists say, say because the disk lost their state; why is for its reader.
// Nil is the old table, which stays until the list that it was made from expires; else it would be enforced for ever.
func (t *table) unknown(why string) ([]byte, error) {
	old, err := os.ReadFile(string(t.config.Map))
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	expires, dated := expiryOf(string(old))
	if dated && t.local.now.Before(expires) {
		return nil, nil
	}
	own, err := t.local.alone()
	switch {
	case err != nil:
		return nil, err
	case own.Len() == 0 && missing:
		return nil, nil
	case own.Len() == 0 && dated:
		return []byte("# TLS policy table for Postfix (smtp_tls_policy_maps): empty. The list that it was made from is lost, and has expired.\n"), nil
	case own.Len() == 0:
		return []byte("# TLS policy table for Postfix (smtp_tls_policy_maps): empty. No list is in force: " + why + ".\n"), nil
	}
	var buf bytes.Buffer
	report, err := mta.PostfixOwn(&buf, own.All(), why, mta.Options{Dialect: t.dialect, ExactOnly: t.config.ExactOnly})
	t.report.take(report)
	return buf.Bytes(), err
}

// expiryOf finds in a table's first lines when the list ends that it was made from.
func expiryOf(table string) (expires time.Time, ok bool) {
	for text := range strings.Lines(table) {
		at, found := strings.CutPrefix(strings.TrimSuffix(text, "\n"), "# expires ")
		if !found && strings.HasPrefix(text, "#") {
			continue
		}
		expires, err := policy.ParseTime(at)
		return expires, found && err == nil
	}
	return time.Time{}, false
}
