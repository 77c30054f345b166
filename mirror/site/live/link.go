package live

import (
	"net/url"
	"strings"
)

// maxLink is how long a link to a prefilled page may be: GitHub's servers take 8 KiB for the first line of a request, and some
// browsers and proxies less.
const maxLink = 6000

// fillLink makes the link by which GitHub opens its page for a new file with the entry in it, from which a pull request
// comes. Other forges have no such address; there the visitor copies the text.
func (e *Entry) fillLink(repository, branch, domain string) {
	u, err := url.Parse(strings.TrimSuffix(repository, "/"))
	if err != nil || u.Scheme != "https" || u.Host != "github.com" || !e.New {
		return
	}
	u = u.JoinPath("new", branch)
	u.RawQuery = url.Values{"filename": {e.Path}, "value": {e.File}, "message": {"Add " + domain}}.Encode()
	if link := u.String(); len(link) <= maxLink {
		e.Link = link
	} else {
		e.TooLong = true
	}
}
