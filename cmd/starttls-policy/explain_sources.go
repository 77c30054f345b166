package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

// explainMap is the map's name under which the daemon tells all it knows of a domain: "explain MAP DOMAIN".
const explainMap = "explain"

// explainOptions are the flags of explain.
type explainOptions struct {
	socket  string // "" for the first of listen in [serve]
	live    bool   // ask the domain's DNS and web server
	decided bool   // --live was given, in either sense
}

// surveyed is what all sources say of a domain.
type surveyed struct {
	Asked   string `json:"asked"`             // who was asked
	Trouble string `json:"trouble,omitempty"` // why the daemon was not
	Daemon  bool   `json:"daemon"`            // the daemon set-up is configured: what is decided here counts
	socketmap.Survey
}

func (o *explainOptions) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.live, "live", false, "ask the domain's DNS and web server from here; --live=false asks nobody, the daemon neither")
	c.Flags().StringVar(&o.socket, "socket", "", socketUsage)
}

// survey asks the daemon, which knows what it holds; where there is none, or --live says so, it finds out by itself.
func (a *app) survey(c *cobra.Command, cfg config, d policy.Domain, o explainOptions) (s surveyed, err error) {
	ctx, name := c.Context(), socketmapName(c.Context(), cfg)
	o.decided = c.Flags().Changed("live")
	s.Daemon = cfg.Serve.Written || o.socket != ""
	if s.Daemon && !o.decided {
		place, err := a.askSurvey(c, o.socket, name, d, &s.Survey)
		if err == nil {
			s.Asked = "the daemon at " + string(place)
			return s, nil
		}
		s.Trouble = flat{err}.Error()
	}
	decider, err := a.localDecider(cfg, o.live || !o.decided && cfg.Serve.Written)
	if err != nil {
		return s, err
	}
	if s.Asked = "nobody"; !decider.Live.Silent {
		s.Asked = "the domain's DNS and web server"
		defer decider.Live.Close()
	}
	s.Survey = decider.Survey(ctx, d, name)
	return s, nil
}

// askSurvey lets the daemon tell what it holds.
func (a *app) askSurvey(c *cobra.Command, place, mapName string, d policy.Domain, s *socketmap.Survey) (listenPlace, error) {
	socket, reply, err := a.askDaemon(c, place, refreshPatience, explainMap, mapName+" "+d.String())
	if err != nil {
		return socket, err
	}
	if err := json.Unmarshal([]byte(reply.Value), s); err != nil || s.Domain != d.String() {
		return socket, fmt.Errorf("%s: it does not answer as starttls-policy serve does", socket)
	}
	return socket, nil
}

// explainTo is the daemon's side: key is "MAP DOMAIN".
func explainTo(ctx context.Context, r *socketmap.Decider, key string) socketmap.Reply {
	name, domain, _ := strings.Cut(key, " ")
	d, err := parseDomain(domain)
	if err != nil {
		return socketmap.Reply{}
	}
	text, err := json.Marshal(r.Survey(ctx, d, name))
	if err != nil {
		return socketmap.Reply{Temp: err.Error()}
	}
	return socketmap.Reply{Value: string(text)}
}

// localDecider decides as the daemon would, by the files that it would read.
func (a *app) localDecider(cfg config, live bool) (*socketmap.Decider, error) {
	r := &socketmap.Decider{
		Now: a.now, Log: slog.New(slog.DiscardHandler), Off: func() bool { return readSwitch(cfg.State) != nil },
		Testing: cfg.Adopt.has, Overrides: cfg.Overrides,
	}
	lists, err := a.openLists(cfg)
	if err != nil {
		return nil, err
	}
	var held []socketmap.Held
	for _, l := range lists {
		h, _ := socketmap.Load(l.name, l.client) // what is wrong with it was told before
		held = append(held, h)
	}
	r.SetLists(held)
	if live {
		s := newServed(a, cfg, io.Discard)
		if r.Live, err = s.newLive(); err != nil || r.Live != nil {
			return r, err
		}
	}
	r.Live = &socketmap.Live{Now: a.now, Silent: true}
	if err := r.Live.Restore(filepath.Join(cfg.State, policiesFile)); err != nil {
		a.complain("not all that the daemon saved can be read: %v", err)
	}
	return r, nil
}

// socketmapName is the map's name by which this machine's Postfix asks, or would.
func socketmapName(ctx context.Context, cfg config) string {
	maps, _ := postconf(ctx, "-h", "smtp_tls_policy_maps")
	for _, m := range strings.FieldsFunc(maps, separates) {
		if rest, ok := strings.CutPrefix(m, "socketmap:"); ok {
			return rest[strings.LastIndex(rest, ":")+1:]
		}
	}
	return dialectOr(ctx, cfg).String()
}

// print tells who says what, in the order in which it counts, and what the daemon makes of it.
func (s surveyed) print(w io.Writer) {
	line(w, "  sources, in the order in which the daemon follows them; asked: %s", s.Asked)
	if s.Trouble != "" {
		line(w, "    the daemon was not to be had: %s", s.Trouble)
	}
	for _, word := range s.Words {
		line(w, "    %s", wordText(word))
	}
	if s.Downgrade != "" {
		line(w, "    POSSIBLE DOWNGRADE: %s", s.Downgrade)
	}
	if !s.Daemon {
		return
	}
	line(w, "  daemon: %s decides; Postfix (map %s): %s", s.Source, s.Map, s.Reply)
	for _, why := range s.Why {
		line(w, "  - %s", why)
	}
}

func wordText(w socketmap.Word) string {
	name := string(w.Source)
	if w.List != "" {
		name += " " + w.List
	}
	text := name + ": " + string(w.State)
	if w.State == socketmap.StatePolicy {
		text = name + ": " + strings.Join(append([]string{w.Mode}, w.MXs...), " ")
	}
	if w.Cached {
		text += ", cached since " + w.Fetched
	}
	if w.Until != "" && w.State == socketmap.StatePolicy {
		text += ", until " + w.Until
	}
	if w.Detail != "" {
		text += " (" + w.Detail + ")"
	}
	return text
}
