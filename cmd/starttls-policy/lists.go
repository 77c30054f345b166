package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/policy"
)

// list is one configured list and its client.
type list struct {
	name   string
	client *mirror.Client
}

// openLists makes the clients, in the order in which they answer. Nothing is read yet.
func (a *app) openLists(c config) ([]list, error) {
	var out []list
	for _, l := range c.Lists {
		client := &mirror.Client{
			Dir:       filepath.Join(c.State, string(l.Name)),
			First:     rand.IntN(len(l.Mirrors)),
			Now:       a.now,
			Log:       slog.New(slog.DiscardHandler), // the outcome says it all
			KeepStale: l.Expired == "keep",
		}
		for _, m := range l.Mirrors {
			r, err := openMirror(m)
			if err != nil {
				return nil, err
			}
			client.Sources = append(client.Sources, mirror.Source{Name: string(m), Reader: r})
		}
		out = append(out, list{string(l.Name), client})
	}
	return out, nil
}

// openMirror does not touch the network or the disk.
func openMirror(m mirrorPlace) (mirror.Reader, error) {
	if filepath.IsAbs(string(m)) {
		return folder(m), nil
	}
	return mirror.NewHTTP(string(m), "starttls-policy/"+version)
}

// folder is a mirror folder that may come and go, such as a mounted one.
type folder string

// Get implements mirror.Reader.
func (f folder) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	r, err := dir.OpenReader(string(f))
	if err != nil {
		return nil, fmt.Errorf("%v", err) // no %w: a missing folder is no absent object
	}
	defer r.Close()
	return r.Get(ctx, path, limit)
}

// standing is a list as it stands in its folder.
type standing struct {
	list
	mirror.Outcome
}

// standings reads all lists without asking a mirror. A list that cannot be read is an error: whether it names a domain
// is then unknown, and a list behind it must not answer in its place.
func (a *app) standings(c config) ([]standing, error) {
	lists, err := a.openLists(c)
	if err != nil {
		return nil, err
	}
	var out []standing
	for _, l := range lists {
		o, err := l.client.Load()
		if err == nil && o.Damaged != nil && o.Release == nil {
			err = o.Damaged
		}
		if err != nil {
			return nil, failed(fmt.Errorf("list %s: %w", l.name, err), hintFor(err))
		}
		out = append(out, standing{l, o})
	}
	return out, nil
}

func hintFor(err error) string {
	if errors.Is(err, mirror.ErrDamaged) {
		return "starttls-policy update repairs it"
	}
	return ""
}

// find returns the first list that names the domain; ok is false when none does.
func find(lists []standing, d policy.Domain) (l standing, p policy.Policy, ok bool) {
	for _, l := range lists {
		if p, ok := l.List.Lookup(d); ok {
			return l, p, true
		}
	}
	return standing{}, policy.Policy{}, false
}

// consult reads what a question about a domain needs, and warns about lists that may not answer as expected.
func (a *app) consult(name string) (policy.Domain, config, []standing, error) {
	d, err := parseDomain(name)
	if err != nil {
		return d, config{}, nil, err
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return d, cfg, nil, err
	}
	lists, err := a.standings(cfg)
	a.warn(lists)
	return d, cfg, lists, err
}

// parseDomain accepts what people write.
func parseDomain(s string) (policy.Domain, error) {
	d, err := policy.NormalizeDomain(s)
	if err != nil {
		return d, &term.Exit{Code: exitUsage, Err: err, Hint: "a domain is what stands behind the @ of a mail address, such as example.org"}
	}
	return d, nil
}
