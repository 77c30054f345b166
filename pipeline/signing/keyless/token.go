package keyless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Where a token comes from, in this order after a file: the variable that cosign reads, and what GitHub Actions gives a
// job with "permissions: id-token: write".
const (
	TokenVar      = "SIGSTORE_ID_TOKEN"
	requestURLVar = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestVar    = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// DefaultAudience is the audience that Fulcio asks for.
const DefaultAudience = "sigstore"

// maxToken caps a token, in bytes; GitHub's have about 1,500.
const maxToken = 32 << 10

// ErrNoToken means that nothing around offers a token.
var ErrNoToken = fmt.Errorf("there is none: set token-file in [keyless] or %s, or let a GitHub Actions job have id-token: write", TokenVar)

// Ambient finds the token that the machine around offers.
type Ambient struct {
	File      string // "" for none; read anew each time, for whoever renews it
	Audience  string
	LookupEnv func(name string) (value string, ok bool)
	Client    *http.Client
}

// Token returns a token. It is a secret for as long as it is valid: errors do not hold it.
func (a Ambient) Token(ctx context.Context) (string, error) {
	if a.File != "" {
		return tokenFile(a.File)
	}
	env := func(name string) string {
		value, _ := a.LookupEnv(name)
		return strings.TrimSpace(value)
	}
	if token := env(TokenVar); token != "" {
		return checkToken(token)
	}
	if at, bearer := env(requestURLVar), env(requestVar); at != "" && bearer != "" {
		return a.ask(ctx, at, bearer)
	}
	return "", ErrNoToken
}

func tokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	return checkToken(strings.TrimSpace(string(data)))
}

// ask gets a token from GitHub Actions.
func (a Ambient) ask(ctx context.Context, at, bearer string) (string, error) {
	if err := CheckURL(at); err != nil {
		return "", err
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	query := u.Query()
	query.Set("audience", a.Audience)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	client := a.Client
	if client == nil {
		client = NewClient()
	}
	body, err := do(client, r)
	if err != nil {
		return "", redact(err, bearer)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(body, &answer) != nil { // its error would quote the answer
		return "", errors.New("the answer of GitHub Actions is not JSON")
	}
	return checkToken(answer.Value)
}

// checkToken wants the shape of a signed token (RFC 7515 section 3.1); who signed it is Fulcio's to say.
func checkToken(token string) (string, error) {
	const shape = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if len(token) > maxToken || strings.Count(token, ".") != 2 || strings.Trim(token, shape) != "" {
		return "", errors.New("what is given is no token: three parts of base64url with a dot between them")
	}
	return token, nil
}
