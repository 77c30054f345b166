package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// mainCF is what to write into main.cf, as this Postfix needs it.
type mainCF struct {
	File    string   `json:"file"`              // which main.cf
	Version string   `json:"version,omitempty"` // of this Postfix; "" when there was none to ask
	Lines   []string `json:"lines,omitempty"`
	Warning string   `json:"warning,omitempty"` // why a line is missing, or must not be used yet
	Daemon  bool     `json:"daemon,omitempty"`  // the daemon has to run before they are added
}

// aboutPostfix begins with what this Postfix says of itself, if there is one to ask.
func aboutPostfix(ctx context.Context) mainCF {
	m := mainCF{File: "/etc/postfix/main.cf"}
	m.Version, _ = postconf(ctx, "-h", "mail_version")
	if dir, _ := postconf(ctx, "-h", "config_directory"); dir != "" {
		m.File = dir + "/main.cf"
	}
	return m
}

// mainLines asks this Postfix, if there is one. What the administrator has already is left out; tables that are there come
// first and so override the list.
func mainLines(ctx context.Context, p postfixConfig) mainCF {
	m := aboutPostfix(ctx)
	if m.Warning = p.obstacle(ctx); m.Warning != "" {
		return m
	}
	if maps := p.maps(ctx); maps != "" {
		m.Lines = append(m.Lines, mta.PolicyMaps(maps))
	}
	m.Lines = append(m.Lines, tlsLines(ctx)...)
	return m
}

// daemonLines are those by which this Postfix asks the daemon at place, in the newest dialect that it reads. Maps that are
// there come first, as for a table.
func daemonLines(ctx context.Context, place listenPlace) mainCF {
	m := aboutPostfix(ctx)
	m.Daemon = true
	network, address := place.split()
	if network == "tcp" {
		network = "inet"
	} else if queue, _ := postconf(ctx, "-h", "queue_directory"); queue != "" {
		// A path that is not absolute is below the queue directory for Postfix, chrooted or not.
		if below, err := filepath.Rel(queue, address); err == nil && filepath.IsLocal(below) {
			address = below
		}
	}
	ours := mta.DaemonMapPrefix(network, address)
	dialect, _ := dialectFor(ctx, dialectAuto)
	maps := mta.DaemonMap(network, address, dialect)
	switch old, _ := postconf(ctx, "-h", "smtp_tls_policy_maps"); {
	case strings.Contains(old, ours):
	case old != "":
		m.Lines = append(m.Lines, mta.PolicyMaps(old+", "+maps))
	default:
		m.Lines = append(m.Lines, mta.PolicyMaps(maps))
	}
	m.Lines = append(m.Lines, tlsLines(ctx)...)
	return m
}

// tlsLines are what every policy needs beside itself, and this Postfix does not have yet.
func tlsLines(ctx context.Context) (lines []string) {
	file, _ := postconf(ctx, "-h", "smtp_tls_CAfile")
	path, _ := postconf(ctx, "-h", "smtp_tls_CApath")
	if file == "" && path == "" {
		bundles := mta.CABundles()
		bundle := bundles[0]
		for _, b := range slices.Backward(bundles) {
			if _, err := os.Stat(b); err == nil {
				bundle = b
			}
		}
		lines = append(lines, mta.CAFile(bundle))
	}
	if level, _ := postconf(ctx, "-h", "smtp_tls_security_level"); level == "" {
		lines = append(lines, mta.Level)
	}
	return lines
}

// print says what to do, in the order of doing it.
func (m mainCF) print(w io.Writer) {
	line(w, "")
	if m.Warning != "" {
		line(w, "Do NOT add the table to %s yet: %s", m.File, m.Warning)
		return
	}
	if len(m.Lines) == 0 {
		line(w, "%s has everything already.", m.File)
		return
	}
	forVersion := ""
	if m.Version != "" {
		forVersion = " (Postfix " + m.Version + ")"
	}
	if m.Daemon {
		line(w, "Start the daemon first, with the socket held by systemd: while nothing answers there, Postfix defers ALL mail.")
	}
	line(w, "Add to %s%s, then run \"postfix reload\":", m.File, forVersion)
	for _, l := range m.Lines {
		line(w, "  %s", l)
	}
	line(w, "Without the CA certificates no server could be verified, and mail to every listed domain would wait in the queue.")
}

// obstacle says why this Postfix could not use the table; "" when it can. It defers all mail over a table that it cannot
// open, whichever domain the mail is for.
func (p postfixConfig) obstacle(ctx context.Context) string {
	if has, ok := tableTypes(ctx); ok && !slices.Contains(has, string(p.Type)) {
		return fmt.Sprintf("this Postfix has no table type %s (see postconf -m), and would defer ALL mail over one in main.cf: "+
			"set type = %q in the configuration, or install the package for it, such as postfix-%[1]s", p.Type, chooseType(ctx))
	}
	if i := strings.IndexAny(string(p.Map), " \t\r\n,{}$"); i >= 0 {
		return fmt.Sprintf("%q cannot be named in main.cf, where %q has a meaning of its own: choose another path", string(p.Map), p.Map[i])
	}
	return ""
}

// maps is the value for smtp_tls_policy_maps, "" when it names the table already.
func (p postfixConfig) maps(ctx context.Context) string {
	ours := mta.TableMap(string(p.Type), string(p.Map))
	old, _ := postconf(ctx, "-h", "smtp_tls_policy_maps")
	if old == "" {
		return ours
	}
	entry := func(name string) *regexp.Regexp {
		return regexp.MustCompile(`(^|[,\s])` + name + regexp.QuoteMeta(":"+string(p.Map)) + `([,\s]|$)`)
	}
	if entry(string(p.Type)).MatchString(old) {
		return ""
	}
	// The same table under the type that it had before is no longer kept up to date.
	if before := entry("[a-z]+"); before.MatchString(old) {
		return before.ReplaceAllString(old, "${1}"+strings.ReplaceAll(ours, "$", "$$")+"${2}")
	}
	return old + ", " + ours
}
