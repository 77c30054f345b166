package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// look gathers what doctor judges. What cannot be looked at is told, never passed over.
type look struct {
	app        *app
	cfg        config
	lists      []list
	offline    bool
	systemd    string // the folder that is there when systemd runs the machine
	resolvConf string
	probe      string // name that every validating resolver proves: the root
	account    func(name string) (identity, error)
	facts      doctor.Facts
	asked      []string // whom we, or the daemon for us, may have asked over the network
	listed     policy.Domain
}

func (a *app) newLook(cfg config, lists []list, offline bool) *look {
	return &look{app: a, cfg: cfg, lists: lists, offline: offline, systemd: "/run/systemd/system", resolvConf: resolvConf, probe: ".", account: account}
}

// gather looks at everything.
func (l *look) gather(ctx context.Context) {
	l.facts.Now = l.app.now()
	l.config(ctx)
	for _, one := range l.lists {
		l.list(one)
	}
	l.state()
	l.updates(ctx)
	l.postfix(ctx)
	l.exim(ctx)
	if l.facts.Postfix == nil && l.facts.Exim == nil {
		l.facts.OtherMTA = "neither Postfix nor Exim answers" + otherServers()
	}
	l.resolvers(ctx)
}

// unseen notes what nobody could look at.
func (l *look) unseen(format string, args ...any) {
	l.facts.Unseen = append(l.facts.Unseen, fmt.Sprintf(format, args...))
}

// otherServers names those that doctor knows and cannot look into.
func otherServers() string {
	for name, server := range map[string]string{"smtpctl": "OpenSMTPD", "haraka": "Haraka", "stalwart": "Stalwart", "kumod": "KumoMTA"} {
		if _, err := program(name); err == nil {
			return "; " + server + " is here, of which only the exported file can be looked at"
		}
	}
	return ""
}

// config looks at what the configuration asks for, and at the files made by it.
func (l *look) config(ctx context.Context) {
	s := l.cfg.Serve
	d := &doctor.Daemon{DANE: s.asks(socketDANE), TrustAD: s.TrustAD || l.cfg.LeaveOut != nil && l.cfg.LeaveOut.TrustAD}
	for _, place := range s.Listen {
		d.Listen = append(d.Listen, string(place))
	}
	l.facts.Daemon = d
	if off := readSwitch(l.cfg.State); off != nil {
		l.facts.Off = fmt.Sprintf("since %s: %s", orNever(off.Since), off.Reason)
	}
	l.facts.Feedback = l.app.feedbackFacts(l.cfg)
	for domain, o := range l.cfg.Overrides {
		if _, holds := l.cfg.Overrides.Find(domain, l.app.now()); !holds {
			l.facts.Overrides = append(l.facts.Overrides, fmt.Sprintf("%s, until %s", domain, o.Until.AddDate(0, 0, -1).Format(time.DateOnly)))
		}
	}
	slices.Sort(l.facts.Overrides)
	l.exports()
	p := l.cfg.Postfix
	if p == nil {
		return
	}
	state, right := l.app.tableState(ctx, l.cfg, l.lists)
	l.facts.Table = &doctor.Table{Type: string(p.Type), Map: string(p.Map), Dialect: string(p.Dialect),
		Fixed: p.Dialect != dialectAuto, Right: right, State: state, SparesDANE: l.cfg.LeaveOut != nil && l.cfg.LeaveOut.Sources.DANE}
	for _, path := range []string{string(p.Map), string(p.Map) + compiledSuffix[p.Type], filepath.Dir(string(p.Map))} {
		if writable(path) {
			l.facts.Table.Writable = path
		}
	}
}

func (l *look) exports() {
	for _, d := range l.app.dueExports(l.cfg, l.lists) {
		state, right := d.state()
		l.facts.Exports = append(l.facts.Exports, doctor.Export{Format: d.report.Format, File: d.path, Right: right, State: state})
	}
}

// list looks at one list as it is held, and picks a domain to ask the daemon about.
func (l *look) list(one list) {
	out := doctor.List{Name: one.name}
	o, err := one.client.Load()
	if err != nil {
		out.Error = flat{err}.Error()
	}
	if o.Damaged != nil {
		out.Damaged = flat{o.Damaged}.Error()
	}
	r := describe(one, o, o.List.Len())
	out.Freshness, out.Kept, out.Ended = string(r.Freshness), r.Kept, r.Ended
	for _, before := range loadLastUpdate(l.cfg.State).Lists {
		if before.Name == one.name {
			out.Evidence = before.Evidence
		}
	}
	out.Held, out.HeldRelease = o.Held, o.HeldRelease
	out.TrustVersion, out.Witnessed, out.ClockBehind = o.TrustVersion, o.Witnessed, o.ClockBehind
	if o.Pin != nil {
		out.Pinned = fmt.Sprintf("release %d since %s, until %s; the newest, %d, waits: %s", o.Pin.Release, stamp(o.Pin.Since), stamp(o.Pin.Until), o.Newest, o.Pin.Reason)
	}
	if o.Release != nil {
		out.Release, out.Expires = o.Release.Release, o.Release.Expires
	}
	if chain, err := one.client.Chain(); err == nil {
		out.TrustExpires = chain.Newest().Expires
	}
	l.facts.Lists = append(l.facts.Lists, out)
	if !l.listed.IsZero() || o.Freshness == mirror.Expired && !r.Kept {
		return
	}
	for d, p := range o.List.All() {
		if _, own := l.cfg.Overrides.Find(d, l.app.now()); !own && p.Mode == policy.Enforce {
			l.listed = d
			return
		}
	}
}

// state looks at the folder: who may write in it, and what was left there.
func (l *look) state() {
	s := &l.facts.State
	s.Path = l.cfg.State
	top, err := os.Stat(s.Path)
	if err != nil {
		s.Missing = true
		return
	}
	uid := uidOf(top)
	s.Owner = userName(uid)
	err = filepath.WalkDir(s.Path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			l.unseen("%v", err)
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil // it went away meanwhile
		}
		name, _ := filepath.Rel(s.Path, path)
		if writable(path) && s.Writable == "" {
			s.Writable = path
		}
		if uidOf(info) != uid {
			s.Owners = append(s.Owners, name)
		}
		if temporary(entry.Name()) && l.app.now().Sub(info.ModTime()) > time.Hour {
			s.Left = append(s.Left, name)
		}
		return nil
	})
	if err != nil {
		l.unseen("%v", err)
	}
}

// temporary reports whether a file's name is one that it has until it is whole (package durable, install).
func temporary(name string) bool { return strings.HasPrefix(name, ".tmp-") }

// writable reports whether others than its owner may write a file, or in a folder. The group of root is no other.
func writable(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type()&fs.ModeSymlink != 0 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 || info.Mode()&0o020 != 0 && ok && stat.Gid != 0
}

func uidOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// ourUnits are those that may be on a machine; the last is the name of an earlier description.
var ourUnits = []string{"starttls-policy-update.timer", "starttls-policy.socket", "starttls-policy.service", "starttls-policy.timer"}

func (l *look) updates(ctx context.Context) {
	u := &l.facts.Update
	last := loadLastUpdate(l.cfg.State)
	u.Last, _ = policy.ParseTime(last.Time)
	for _, r := range last.Lists {
		if r.Exit == exitFailed && r.Error != "" {
			u.Failed = fmt.Sprintf("list %s: %s", r.Name, r.Error)
		}
	}
	if last.Postfix != nil && last.Postfix.Error != "" {
		u.Failed = "table: " + last.Postfix.Error
	}
	for _, x := range last.Exports {
		if x.Error != "" {
			u.Failed = x.Format + ": " + x.Error
		}
	}
	if _, err := os.Stat(l.systemd); err != nil {
		return
	}
	path, err := exec.LookPath("systemctl")
	if err != nil {
		l.unseen("systemd runs this machine, but there is no systemctl")
		return
	}
	u.Systemd, u.Asked = true, ourUnits
	// One line a unit; the exit code says whether all are active, which is not the question.
	out, _ := command(ctx, path, append([]string{"is-active"}, ourUnits...)...)
	for i, state := range strings.Fields(out) {
		if i < len(ourUnits) && (state == "active" || state == "activating") {
			u.Active = append(u.Active, ourUnits[i])
		}
	}
}

// command runs a program that only tells something.
func command(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, postconfDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	return string(out), err
}
