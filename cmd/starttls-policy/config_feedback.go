package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/policy"
)

// feedbackConfig is the [feedback] table: to whom, as whom, of which list, and from what.
type feedbackConfig struct {
	URL         *url.URL
	Contributor policy.Domain
	List        listName
	Source      feedbackSource
	Spool       absolutePath // "" unless Source is fromSpool
}

// feedbackFile is [feedback] as TOML has it.
type feedbackFile struct {
	URL         setting[feedbackURL, *feedbackURL]       `toml:"url"`
	Contributor setting[domainName, *domainName]         `toml:"contributor"`
	List        setting[listName, *listName]             `toml:"list"`
	Source      setting[feedbackSource, *feedbackSource] `toml:"source"`
	Spool       setting[absolutePath, *absolutePath]     `toml:"spool"`
}

// feedbackFiles begins the names of the files in the state folder.
const feedbackFiles = "feedback"

// feedbackURL is an operator's, as feedback.CheckURL takes it.
type feedbackURL struct{ *url.URL }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *feedbackURL) UnmarshalText(text []byte) (err error) {
	u.URL, err = feedback.CheckURL(string(text))
	return err
}

// feedbackSource is what a day's document is made from. There is one, for several would count the same sessions.
type feedbackSource string

const (
	fromSpool  feedbackSource = "spool"  // files of RFC 8460
	fromLog    feedbackSource = "log"    // what [testing] counts in Postfix's log
	fromDaemon feedbackSource = "daemon" // the daemon's look-ups
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *feedbackSource) UnmarshalText(text []byte) error {
	switch *s = feedbackSource(text); *s {
	case fromSpool, fromLog, fromDaemon:
		return nil
	}
	return fmt.Errorf("source = %q: it is %q, %q or %q", text, fromSpool, fromLog, fromDaemon)
}

// config checks what the decoder cannot. c has the other tables.
func (f feedbackFile) config(c config) (*feedbackConfig, error) {
	out := &feedbackConfig{f.URL.value.URL, f.Contributor.value.Domain, f.List.value, f.Source.value, f.Spool.value}
	if out.List == "" && len(c.Lists) == 1 {
		out.List = c.Lists[0].Name
	}
	switch {
	case out.URL == nil:
		return nil, errors.New("[feedback]: url is missing: the list's operator names it")
	case out.Contributor.IsZero():
		return nil, errors.New("[feedback]: contributor is missing: a domain of yours, below which the key stands in the DNS")
	case out.List == "":
		return nil, errors.New("[feedback]: list is missing: there are several lists, and an operator is told of its own domains alone")
	case !c.has(out.List):
		return nil, fmt.Errorf("[feedback]: there is no list of the name %s", out.List)
	case out.Source == "":
		return nil, fmt.Errorf("[feedback]: source is missing: %q, %q or %q", fromSpool, fromLog, fromDaemon)
	case (out.Source == fromSpool) != (out.Spool != ""):
		return nil, errors.New(`[feedback]: source = "spool" and spool go together`)
	case out.Source == fromLog && c.Testing.Log == "":
		return nil, errors.New(`[feedback]: source = "log" needs log in [testing]`)
	case out.Source == fromDaemon && (!c.Serve.Written || !c.Serve.asks(socketSTS)):
		return nil, errors.New(`[feedback]: source = "daemon" needs [serve] with the source "mta-sts": without it the daemon sees nothing to tell of`)
	}
	return out, nil
}

// has reports whether there is a list of the name.
func (c config) has(name listName) bool {
	for _, l := range c.Lists {
		if l.Name == name {
			return true
		}
	}
	return false
}

// feedbackText shows the table as comments.
func feedbackText(list listName) string {
	return fmt.Sprintf(`
# Telling the list's operator how deliveries to listed domains went: off unless this table is here. "starttls-policy feedback
# --dry-run" shows to the byte what leaves, once a day: listed domains with 20 sessions or more, how their sessions ended, in
# rough numbers; no addresses, no names of servers or people. See "Feedback to the operator" in USAGE.md, and take the table
# out again to stop.
#[feedback]
# Where to; https:// alone.
#url = "https://list.example/feedback/v1"
# As whom: a domain of yours, with the key of "starttls-policy feedback key" in its DNS.
#contributor = "sender.example"
# Of which list, where there are several. Domains of other lists are not told to its operator.
#list = %q
# From what: "spool", a folder of RFC 8460 files, which tlsrpt-reportd fills for Postfix 3.10; "log", what [testing] counts in
# Postfix's log; or "daemon", what it was asked and what the domains published then, which says nothing of deliveries.
#source = "spool"
#spool = "/var/spool/tlsrpt"
`, string(list))
}
