package main

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

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
			v := view{m.String(), s.Chroot && network == "unix" && !m.Proxied}
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
	who, err := l.account(p.Params["mail_owner"])
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
