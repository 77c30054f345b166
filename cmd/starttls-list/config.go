package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	exits "github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// configName is the configuration that init writes.
const configName = "policylist.toml"

// config is policylist.toml. Every key is explained in configText; relative paths start at the file's folder.
type config struct {
	Source string `toml:"source"`
	Trust  string `toml:"trust"`
	State  string `toml:"state"`
	leaseConfig
	Keys struct {
		Release      []string `toml:"release"`
		Log          string   `toml:"log"`
		OpenPGP      string   `toml:"openpgp"`
		PasswordFile string   `toml:"password-file"`
	} `toml:"keys"`
	Keyless keylessConfig `toml:"keyless"`
	Probe   probeConfig   `toml:"probe"`
	Gate    gateConfig    `toml:"gate"`
	Log     logConfig     `toml:"log"`
	TLSRPT  tlsrptConfig  `toml:"tlsrpt"`
	Site    siteConfig    `toml:"site"`
	Mirrors []struct {
		Name string `toml:"name"`
		URL  string `toml:"url"`
	} `toml:"mirror"`

	dir string // the file's folder
}

// configText is what init writes; it documents every key.
const configText = `# Configuration of a STARTTLS policy list. Relative paths start at this file's folder.

# The list: a directory with list.json and *.json fragments.
source = "list"

# Signed trust versions, files named 1, 2, 3 …
trust = "trust"

# The publisher's memory: log, outbox, journal. A folder (back it up), or a private place on S3, for runners that start with
# an empty disk: s3://bucket/prefix?endpoint=…&region=…  Nobody but the publisher may read or write there; it must not be
# the place of a mirror. One publisher at a time uses it: a lock keeps the folder, a lease the place on S3. If it is lost,
# starttls-list recover rebuilds it from the mirrors.
state = "state"
# For state on S3. The name of the only publisher, printable ASCII. Optional where the store's conditional writes hold: then
# any run with these keys may take over. Where they race, nothing is released without it, nor under another name than the
# lease has. starttls-list release --dry-run says which it is, and who has the lease until when.
publisher = ""
# How long the lease lasts when a run dies without giving it back, 1m to 24h. "" for 10m. A run renews it as it goes.
lease-term = ""

[keys]
# Private keys in encrypted PEM as cosign writes it, or URIs of keys in a KMS or on a device, such as
# "awskms:///alias/release" (transparency/README.md, "Keys elsewhere"; the log key has to be Ed25519). As many release keys
# as the trust's threshold asks for.
release = ["keys/release.key"]
log = "keys/log.key"
# Optional: an OpenPGP key that signs policy.json for gpgv. "" for none.
openpgp = "keys/openpgp.key"
# The password comes from the environment variable COSIGN_PASSWORD, else from this file, else from a prompt.
password-file = ""

` + keylessConfigText + `
` + probeConfigText + `
` + gateConfigText + `
[log]
# What computes the log: "embedded", in this process, or "trillian", your own Trillian log server. What is published is
# the same. To change it, see transparency/README.md.
engine = "embedded"
# The Trillian server, HOST:PORT, and the id of its tree (createtree --tree_type=PREORDERED_LOG).
address = ""
tree = 0
# Do not encrypt the connection, and let anybody answer it: for a server on this machine.
plaintext = false
# Root certificates of the server in PEM, "" for the system's, and the name in its certificate, "" for HOST.
ca = ""
server-name = ""
# A certificate and its key in PEM, when the server asks for one.
certificate = ""
key = ""

` + tlsrptConfigText + `
` + siteConfigText + `
# Where to publish: a folder, or s3://bucket/prefix?endpoint=…&region=…  As many [[mirror]] blocks as you like.
[[mirror]]
name = "public"
url = "public"
`

// decodeConfig decodes strictly, and judges nothing yet.
func decodeConfig(path string) (*config, error) {
	data, err := readFile(path, maxSmallFile)
	if err != nil {
		return nil, err
	}
	c := &config{}
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(c); err != nil {
		return nil, tomlError(path, err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	c.dir = filepath.Dir(abs)
	return c, nil
}

func readConfig(path string) (*config, error) {
	c, err := decodeConfig(path)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Source == "" || c.Trust == "" || c.State == "":
		return nil, fmt.Errorf("%s: source, trust and state must be set", path)
	case len(c.Keys.Release) == 0 || c.Keys.Log == "":
		return nil, fmt.Errorf("%s: [keys] needs at least one release key and the log key", path)
	case len(c.Mirrors) == 0:
		return nil, fmt.Errorf("%s: no [[mirror]] to publish to", path)
	}
	if err := errors.Join(c.checkKeyless(), c.checkProbe(), c.checkGate(), c.checkLog(), c.checkMirrors(), c.checkState(), c.checkTLSRPT(), c.checkFeedback(), c.checkSite(), c.checkFolders()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// tomlError says which line is wrong.
func tomlError(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		line, col := strict.Errors[0].Position()
		return fmt.Errorf("%s:%d:%d: there is no key %q", path, line, col, strings.Join(strict.Errors[0].Key(), "."))
	}
	var decode *toml.DecodeError
	if !errors.As(err, &decode) {
		return fmt.Errorf("%s: %w", path, err)
	}
	line, col := decode.Position()
	text := strings.TrimPrefix(err.Error(), "toml: ")
	if got, _, mismatch := strings.Cut(text, " into "); mismatch {
		// What follows names types of this program.
		text = fmt.Sprintf("%s: %s stands where another type of value belongs", strings.Join(decode.Key(), "."), strings.TrimPrefix(got, "cannot decode "))
	}
	return fmt.Errorf("%s:%d:%d: %s", path, line, col, text)
}

// path makes a configured path absolute; "" stays "".
func (c *config) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, filepath.FromSlash(p))
}

// publisher puts the configured parts together. Warnings about keys go to stderr.
func (c *config) publisher(cmd *cobra.Command) (*pipeline.Publisher, error) {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	chain, err := mirror.ReadTrust(c.path(c.Trust))
	if err != nil {
		return nil, err
	}
	p := &pipeline.Publisher{
		Source: c.path(c.Source), Trust: chain, ScanAll: c.Probe.All, Gate: c.gate(), Commit: commit(ctx, c.path(c.Source)),
		Witnesses: witness.New("starttls-list/" + version), Now: time.Now, Log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
	if err := c.setState(ctx, p); err != nil {
		return nil, err
	}
	p.OpenLog = c.openLog(ctx, p)
	if p.Keys, err = c.keys(ctx, chain.Newest().Origin, cmd.InOrStdin(), stderr); err != nil {
		return nil, err
	}
	for _, m := range c.Mirrors {
		store, err := openStore(ctx, c.mirrorRef(m.URL))
		if err != nil {
			return nil, fmt.Errorf("mirror %s: %w", m.Name, err)
		}
		p.Mirrors = append(p.Mirrors, pipeline.Target{Name: m.Name, Store: store})
	}
	p.Evidence, p.Registrations = c.evidenceSource(), c.registrations()
	c.setFeedback(p)
	if p.Site, err = c.site(); err != nil {
		return nil, err
	}
	if c.Probe.Enabled {
		if p.Observer, err = c.observer(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// mirrorRef resolves a mirror's folder; everything else stays, for openStore to judge.
func (c *config) mirrorRef(ref string) string {
	if scheme, folder, err := splitReference(ref); err == nil && scheme == "file" {
		return c.path(folder)
	}
	return ref
}

func (c *config) keys(ctx context.Context, origin string, stdin io.Reader, stderr io.Writer) (pipeline.Keys, error) {
	var out pipeline.Keys
	password := passwordSource(c.path(c.Keys.PasswordFile), stdin, stderr)
	warn := func(findings []policy.Finding) { exits.Findings(stderr, findings) }
	for _, ref := range c.Keys.Release {
		key, findings, err := signing.Open(ctx, c.keyRef(ref), password)
		if err != nil {
			return out, fmt.Errorf("release key: %w", err)
		}
		warn(findings)
		out.Release = append(out.Release, key)
	}
	key, findings, err := signing.Open(ctx, c.keyRef(c.Keys.Log), password)
	if err != nil {
		return out, fmt.Errorf("log key: %w", err)
	}
	warn(findings)
	if out.Log, err = signing.NoteSigner(ctx, key, origin); err != nil {
		return out, fmt.Errorf("log key: %w", err)
	}
	if c.Keys.OpenPGP != "" {
		if out.OpenPGP, findings, err = signing.LoadOpenPGP(c.path(c.Keys.OpenPGP), password); err != nil {
			return out, fmt.Errorf("OpenPGP key: %w", err)
		}
		warn(findings)
	}
	return out, nil
}

// keyRef makes the path of a key file absolute; a URI stays.
func (c *config) keyRef(ref string) string {
	if signing.IsURI(ref) {
		return ref
	}
	return c.path(ref)
}

// passwordSource asks on a terminal only, once for all keys.
func passwordSource(file string, stdin io.Reader, stderr io.Writer) signing.Password {
	p := signing.Password{LookupEnv: os.LookupEnv, File: file}
	in, ok := stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return p
	}
	var known []byte
	asked := false
	p.Prompt = func(path string) ([]byte, error) {
		if asked {
			return known, nil
		}
		fmt.Fprintf(stderr, "Password of the keys (%s): ", path)
		var err error
		known, err = term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(stderr)
		asked = err == nil
		return known, err
	}
	return p
}

// commit names the Git commit of a source directory whose files are all committed, else pipeline.NoCommit.
func commit(ctx context.Context, source string) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dir := source
	if info, err := os.Stat(source); err == nil && !info.IsDir() {
		dir = filepath.Dir(source)
	}
	status, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain", "--", source).Output()
	if err != nil || len(status) > 0 {
		return pipeline.NoCommit
	}
	head, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return pipeline.NoCommit
	}
	tracked, err := exec.CommandContext(ctx, "git", "-C", dir, "ls-files", "--", source).Output()
	if err != nil || len(tracked) == 0 {
		return pipeline.NoCommit
	}
	return "git:" + strings.TrimSpace(string(head))
}

// resolverAddr takes ADDRESS:PORT, or the system's first resolver for "".
func resolverAddr(s string) (netip.AddrPort, error) {
	if s != "" {
		return netip.ParseAddrPort(s)
	}
	return discovery.SystemResolver("/etc/resolv.conf")
}
