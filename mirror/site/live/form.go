package live

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/starttls-everywhere/policylist/policy"
)

// maxForm bounds a form's body: a name of 253 characters in percent-encoded UTF-8, and a token.
const maxForm = 8 << 10

var (
	errForm     = errors.New("this is not what the form sends")
	errTooLarge = errors.New("this is more than the form sends")
	errName     = errors.New("this is no mail domain: it looks like example.org")
)

// form is what a visitor sends.
type form struct{ name, token string }

// readForm reads the body of a POST. What stands behind "?" in an address ends up in other people's logs, and counts for
// nothing here.
func readForm(w http.ResponseWriter, r *http.Request) (form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return form{}, errForm
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return form{}, errTooLarge
	case err != nil:
		return form{}, errForm
	}
	return parseForm(string(body))
}

// parseForm takes exactly the two fields that the form has, each once.
func parseForm(body string) (form, error) {
	values, err := url.ParseQuery(body)
	if err != nil || len(values) != 2 || len(values["domain"]) != 1 || len(values["token"]) != 1 {
		return form{}, errForm
	}
	return form{values.Get("domain"), values.Get("token")}, nil
}

// domain is the name as the list writes it: a name in another script is taken in its own spelling, too.
func (f form) domain() (policy.Domain, error) {
	d, err := policy.NormalizeDomain(f.name)
	if err != nil {
		return d, errName
	}
	return d, nil
}
