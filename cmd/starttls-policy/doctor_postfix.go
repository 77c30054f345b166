package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// maxBundle bounds what is read of a file of CA certificates, in bytes; Debian's has 220,000.
const maxBundle = 64 << 20

// postfix asks postconf about everything that the rules look at.
func (l *look) postfix(ctx context.Context) {
	text, ok := postconf(ctx, append([]string{"-x"}, doctor.Settings...)...)
	if !ok {
		if text, ok = postconf(ctx, doctor.Settings...); !ok { // before 2.10 there is no -x
			return
		}
	}
	p := &doctor.Postfix{Params: doctor.ParseParams(text), Files: map[string]doctor.File{}, Bundle: caBundle()}
	p.Version = p.Params["mail_version"]
	p.Types, _ = tableTypes(ctx)
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

// caBundle is the first of the usual files that is there.
func caBundle() string {
	for _, b := range caBundles {
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

// sockets looks at each socketmap as each kind of smtp(8) sees it.
func (l *look) sockets(ctx context.Context, p *doctor.Postfix) {
	type view struct {
		entry    string
		chrooted bool
	}
	seen := map[view]bool{}
	services := p.Services
	if len(services) == 0 {
		services = []doctor.Service{{}}
	}
	for _, s := range services {
		for _, m := range p.Maps(s) {
			network, address, ok := m.Socket()
			v := view{m.String(), s.Chroot && network == "unix"}
			if !ok || seen[v] {
				continue
			}
			seen[v] = true
			out := doctor.Socket{Entry: v.entry, Chrooted: v.chrooted, Place: address}
			if network == "unix" {
				l.unixSocket(p, &out, address)
			}
			if !out.Missing && out.Blocked == "" {
				l.ask(ctx, &out, network, m.MapName())
			}
			l.facts.Sockets = append(l.facts.Sockets, out)
		}
	}
}

// unixSocket finds where a path leads, and whether Postfix's user may connect there.
func (l *look) unixSocket(p *doctor.Postfix, out *doctor.Socket, path string) {
	queue := p.Params["queue_directory"]
	out.Place = doctor.Place(path, queue, out.Chrooted)
	if !isSocket(out.Place) {
		out.Missing = true
		if outside := doctor.Place(path, queue, false); outside != out.Place && isSocket(outside) {
			out.Elsewhere = outside
		}
		return
	}
	who, err := account(p.Params["mail_owner"])
	if err != nil {
		l.unseen("whether Postfix may connect to %s: %v", out.Place, err)
		return
	}
	base := "/"
	if out.Chrooted || !filepath.IsAbs(path) {
		base = queue
	}
	out.Blocked = who.blocked(base, out.Place)
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}

// identity is who a process is when it has given up root's privileges.
type identity struct {
	name string
	uid  int
	gids []int
}

func account(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	who := identity{name: name}
	if who.uid, err = strconv.Atoi(u.Uid); err != nil {
		return identity{}, err
	}
	groups, err := u.GroupIds()
	for _, g := range groups {
		if n, err := strconv.Atoi(g); err == nil {
			who.gids = append(who.gids, n)
		}
	}
	return who, err
}

// blocked says why a connection to path is refused: one needs to enter every folder below base, and to write the socket
// (unix(7)). "" when nothing is in the way.
func (who identity) blocked(base, path string) string {
	if why := who.refused(path, 2, "write"); why != "" {
		return why
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if why := who.refused(dir, 1, "enter"); why != "" {
			return why
		}
		if dir == filepath.Clean(base) || dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// refused compares one permission bit, 1 or 2, as the kernel does: only the first class that fits counts.
func (who identity) refused(path string, bit fs.FileMode, verb string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || who.uid == 0 {
		return ""
	}
	class := bit
	switch {
	case int(stat.Uid) == who.uid:
		class = bit << 6
	case slices.Contains(who.gids, int(stat.Gid)):
		class = bit << 3
	}
	if info.Mode()&class != 0 {
		return ""
	}
	return fmt.Sprintf("%s may not %s %s: mode %04o, owner %s, group %d", who.name, verb, path, info.Mode().Perm(), userName(int(stat.Uid)), stat.Gid)
}

const (
	// socketPatience bounds one question to a socket. Postfix itself waits for 100 s and then defers.
	socketPatience = 10 * time.Second
	// noDomain cannot exist (RFC 6761 section 6.4); noParent is a key that no daemon needs to look up.
	noDomain, noParent = "doctor.invalid", ".invalid"
)

// ask finds out whether somebody answers, who it is, and what it says. Offline, it asks nothing for which the other end
// might have to look something up, and no other machine.
func (l *look) ask(ctx context.Context, out *doctor.Socket, network, mapName string) {
	place := out.Place
	if network == "tcp" {
		host, _, _ := net.SplitHostPort(place)
		if ip := net.ParseIP(host); l.offline && host != "localhost" && !ip.IsLoopback() {
			out.Skipped = true
			return
		}
	}
	if _, err := askSocket(ctx, network, place, mapName, noParent); err != nil {
		out.Silent = flat{err}.Error()
		return
	}
	if l.offline {
		out.Skipped = true
		return
	}
	if reply, err := askSocket(ctx, network, place, refreshMap, noDomain); err == nil {
		out.Ours = strings.HasPrefix(reply, "OK "+noDomain+": ")
	}
	out.Unlisted = l.answer(ctx, network, place, mapName, noDomain)
	if listed := l.listed.String(); listed != "" && out.Ours && l.facts.Off == "" {
		out.Listed = l.answer(ctx, network, place, mapName, listed)
	}
}

func (l *look) answer(ctx context.Context, network, place, mapName, key string) doctor.Answer {
	l.asked = append(l.asked, fmt.Sprintf("%s about %s", place, key))
	reply, err := askSocket(ctx, network, place, mapName, key)
	if err != nil {
		reply = "nothing: " + flat{err}.Error()
	}
	return doctor.Answer{Key: key, Reply: reply}
}

// askSocket asks one question over a connection of its own and returns the reply's words.
func askSocket(ctx context.Context, network, address, mapName, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, socketPatience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, err := socketmap.Ask(conn, mapName, key)
	switch {
	case err != nil:
		return "", err
	case reply.Temp != "":
		return "TEMP " + reply.Temp, nil
	case reply.Value != "":
		return "OK " + reply.Value, nil
	}
	return "NOTFOUND", nil
}
