package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// maxBundle bounds what is read of a file of CA certificates, in bytes; Debian's has 220,000.
const maxBundle = 64 << 20

// postfix asks postconf about everything that the rules look at.
func (l *look) postfix(ctx context.Context) {
	path, err := program("postconf")
	if err != nil {
		return
	}
	text, err := command(ctx, path, append([]string{"-x"}, doctor.Settings...)...)
	if err != nil {
		if text, err = command(ctx, path, doctor.Settings...); err != nil { // before 2.10 there is no -x
			l.unseen("Postfix: %v", complaintOf(path, err))
			return
		}
	}
	p := &doctor.Postfix{Params: doctor.ParseParams(text), Files: map[string]doctor.File{}, Bundle: caBundle()}
	p.Version = p.Params["mail_version"]
	if t := l.facts.Table; t != nil && !t.Fixed {
		t.Dialect = mta.SNI.String() // as the table is made where the version says nothing
		if d, err := mta.DialectOf(p.Version); err == nil {
			t.Dialect = d.String()
		}
	}
	if types, ok := tableTypes(ctx); ok {
		p.Types = types
	} else {
		l.unseen("which table types Postfix has: postconf -m fails; run it to see why")
	}
	fields, ok1 := postconf(ctx, "-F")
	options, ok2 := postconf(ctx, "-x", "-P")
	if ok1 && ok2 {
		p.Services = doctor.ParseMaster(fields, options, p.Params["compatibility_level"])
	} else {
		l.unseen("master.cf: postconf -F and -P, which Postfix has from 2.11 on")
	}
	l.facts.Postfix = p
	l.files(p)
	l.sockets(ctx, p)
	if slices.ContainsFunc(p.Services, func(s doctor.Service) bool { return s.Chroot }) {
		p.ChrootResolver = differs(l.resolvConf, filepath.Join(p.Params["queue_directory"], "etc/resolv.conf"))
	}
}

// complaintOf adds what a program said before it failed.
func complaintOf(path string, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%s: %w: %s", path, err, bytes.TrimSpace(exit.Stderr[:min(len(exit.Stderr), 1000)]))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// caBundle is the first of the usual files that is there.
func caBundle() string {
	for _, b := range mta.CABundles() {
		if _, err := os.Stat(b); err == nil {
			return b
		}
	}
	return ""
}

// files looks at all that the transports name.
func (l *look) files(p *doctor.Postfix) {
	for _, s := range slices.Concat(p.Services, []doctor.Service{{}}) {
		for _, m := range p.Maps(s) {
			if path, ok := m.File(); ok {
				l.file(p, path, false)
			}
		}
		if path := p.Value(s, "smtp_tls_CAfile"); path != "" {
			l.file(p, path, true)
		}
		if path := p.Value(s, "smtp_tls_CApath"); path != "" {
			l.file(p, path, true)
			l.file(p, filepath.Join(p.Params["queue_directory"], path), true)
		}
	}
}

// file looks at one path. What cannot be looked at gets no entry, so that no rule says anything about it.
func (l *look) file(p *doctor.Postfix, path string, certificates bool) {
	if _, done := p.Files[path]; done {
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Files[path] = doctor.File{Missing: true}
	case err != nil:
		l.unseen("%v", err)
	case !certificates:
		p.Files[path] = doctor.File{}
	default:
		n, err := countCertificates(path, info.IsDir())
		if err != nil {
			l.unseen("%v", err)
			return
		}
		p.Files[path] = doctor.File{Certs: n}
	}
}

// hashed is a name that OpenSSL looks for in a folder (c_rehash).
var hashed = regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]+$`)

func countCertificates(path string, folder bool) (n int, err error) {
	if folder {
		entries, err := os.ReadDir(path)
		for _, e := range entries {
			if hashed.MatchString(e.Name()) {
				n++
			}
		}
		return n, err
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBundle))
	return bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")) + bytes.Count(data, []byte("-----BEGIN TRUSTED CERTIFICATE-----")), err
}

// differs compares the resolvers of two files; "" when they are the same, or the first cannot be read.
func differs(outside, inside string) string {
	want, err := os.ReadFile(outside)
	if err != nil {
		return ""
	}
	got, err := os.ReadFile(inside)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return inside + " is not there, so a chrooted smtp asks 127.0.0.1"
	case err != nil:
		return ""
	case !slices.Equal(nameservers(want), nameservers(got)):
		return fmt.Sprintf("%s names %s, %s names %s", outside, strings.Join(nameservers(want), " "), inside, strings.Join(nameservers(got), " "))
	}
	return ""
}

func nameservers(text []byte) (out []string) {
	for l := range strings.Lines(string(text)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == "nameserver" {
			out = append(out, f[1])
		}
	}
	return out
}
