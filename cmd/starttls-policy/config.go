package main

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

const (
	defaultState = mta.Folder
	stateLock    = "lock"  // file in the state folder: one update at a time
	maxConfig    = 1 << 20 // bytes
)

// config is the configuration, with every default filled in.
type config struct {
	State    string
	Lists    []listConfig
	Postfix  *postfixConfig  // nil: no table is written
	LeaveOut *leaveOutConfig // nil: nobody is asked, nobody left out
	Testing  testingConfig
	Exports  []exportConfig
	Serve    *serveConfig
	Metrics  metricsConfig
	Feedback *feedbackConfig // nil: nobody is told anything
	// Overrides are what this machine's administrator says, Adopt the domains whose testing policies it enforces.
	Overrides socketmap.Overrides
	Adopt     adopted
}

type listConfig struct {
	Name    listName
	Mirrors []mirrorPlace
	Expired expiredRule
}

type postfixConfig struct {
	Map       absolutePath
	Type      tableType
	Dialect   dialectName
	Postmap   *bool // nil: true
	ExactOnly bool
}

// configFile is the file as TOML has it. configText documents every key.
type configFile struct {
	State setting[absolutePath, *absolutePath] `toml:"state"`
	Lists []struct {
		Name    setting[listName, *listName]         `toml:"name"`
		Mirrors []setting[mirrorPlace, *mirrorPlace] `toml:"mirrors"`
		Expired setting[expiredRule, *expiredRule]   `toml:"expired"`
	} `toml:"list"`
	Postfix *struct {
		Map       setting[absolutePath, *absolutePath] `toml:"map"`
		Type      setting[tableType, *tableType]       `toml:"type"`
		Dialect   setting[dialectName, *dialectName]   `toml:"dialect"`
		Postmap   *bool                                `toml:"postmap"`
		ExactOnly bool                                 `toml:"exact-only"`
	} `toml:"postfix"`
	Exports   []exportEntry                    `toml:"export"`
	LeaveOut  *leaveOutFile                    `toml:"leave-out"`
	Testing   testingFile                      `toml:"testing"`
	Serve     *serveFile                       `toml:"serve"`
	Metrics   metricsFile                      `toml:"metrics"`
	Feedback  *feedbackFile                    `toml:"feedback"`
	Overrides []overrideFile                   `toml:"override"`
	Adopt     []setting[adoptName, *adoptName] `toml:"early-adopter"`
}

// setting makes the decoder call UnmarshalText, which it does not for string types, and so place the error.
type setting[T any, P interface {
	*T
	encoding.TextUnmarshaler
}] struct{ value T }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *setting[T, P]) UnmarshalText(text []byte) error { return P(&s.value).UnmarshalText(text) }

// listName names a list and its folder below the state.
type listName string

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *listName) UnmarshalText(text []byte) error {
	for i, c := range text {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && (c == '-' || c == '.')) {
			return fmt.Errorf("list name %q: it takes a-z, 0-9 and, not first, \"-\" and \".\"", text)
		}
	}
	if len(text) == 0 || len(text) > 64 {
		return fmt.Errorf("list name %q: it takes 1 to 64 letters", text)
	}
	for _, taken := range []string{stateLock, lastUpdate, defaultTable, switchFile, policiesFile, leftOutBook, testingFiles, feedbackFiles} {
		if strings.HasPrefix(string(text), taken) { // the table also has compiled forms
			return fmt.Errorf("list name %q: names that begin with %q belong to files in the state folder", text, taken)
		}
	}
	*n = listName(text)
	return nil
}

// mirrorPlace is where a mirror is: an http or https URL, or the absolute path of a folder.
type mirrorPlace string

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *mirrorPlace) UnmarshalText(text []byte) error {
	*m = mirrorPlace(text)
	if filepath.IsAbs(string(text)) {
		return nil
	}
	if _, err := mirror.NewHTTP(string(text), ""); err != nil {
		return fmt.Errorf("%w; the absolute path of a folder will do as well", err)
	}
	return nil
}

// expiredRule says what becomes of a list that has expired: "empty" or "keep".
type expiredRule string

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *expiredRule) UnmarshalText(text []byte) error {
	if s := string(text); s != "empty" && s != "keep" {
		return fmt.Errorf("expired = %q: it is \"empty\" or \"keep\"", s)
	}
	*e = expiredRule(text)
	return nil
}

type absolutePath string

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *absolutePath) UnmarshalText(text []byte) error {
	if !filepath.IsAbs(string(text)) {
		return fmt.Errorf("%q is not an absolute path", text)
	}
	*p = absolutePath(filepath.Clean(string(text)))
	return nil
}

// dialectName is "auto" or the name of an mta.Dialect.
type dialectName string

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *dialectName) UnmarshalText(text []byte) error {
	if _, err := mta.ParseDialect(string(text)); err != nil && string(text) != dialectAuto {
		return fmt.Errorf("%w, or auto", err)
	}
	*d = dialectName(text)
	return nil
}

// loadConfig reads the file strictly and fills in the defaults.
func (a *app) loadConfig() (config, error) {
	c, _, err := readConfig(a.configPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%w: %w", errNoConfig, err),
			Hint: "starttls-policy join URL --fingerprint HEX writes it"}
	case err != nil:
		return c, &term.Exit{Code: exitUsage, Err: err}
	}
	return c, nil
}

// readConfig returns the file's bytes as well, for who wants to append to it.
func readConfig(path string) (config, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return config{}, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("%s: more than %d bytes", path, maxConfig)
	}
	if err != nil {
		return config{}, nil, err
	}
	c, err := parseConfig(path, data)
	return c, data, err
}

// parseConfig names file, line and column of everything that TOML can place.
func parseConfig(path string, data []byte) (config, error) {
	var f configFile
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return config{}, placed(path, err)
	}
	c, err := f.config()
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	seen := map[listName]bool{}
	for i, l := range c.Lists {
		switch {
		case l.Name == "":
			return c, fmt.Errorf("%s: list number %d has no name", path, i+1)
		case len(l.Mirrors) == 0:
			return c, fmt.Errorf("%s: list %s has no mirrors", path, l.Name)
		case seen[l.Name]:
			return c, fmt.Errorf("%s: there are two lists of the name %s", path, l.Name)
		}
		seen[l.Name] = true
	}
	if len(c.Lists) == 0 {
		return c, fmt.Errorf("%s: there is no [[list]]", path)
	}
	return c, nil
}

func (f configFile) config() (c config, err error) {
	c.State = string(f.State.value)
	if c.State == "" {
		c.State = defaultState
	}
	for _, l := range f.Lists {
		list := listConfig{Name: l.Name.value, Expired: l.Expired.value}
		for _, m := range l.Mirrors {
			list.Mirrors = append(list.Mirrors, m.value)
		}
		c.Lists = append(c.Lists, list)
	}
	if p := f.Postfix; p != nil {
		c.Postfix = &postfixConfig{p.Map.value, p.Type.value, p.Dialect.value, p.Postmap, p.ExactOnly}
		c.Postfix.setDefaults(c.State)
	}
	if f.LeaveOut != nil {
		if c.LeaveOut, err = f.LeaveOut.config(); err != nil {
			return c, err
		}
	}
	c.Testing = f.Testing.config()
	written := f.Serve != nil
	if !written {
		f.Serve = &serveFile{}
	}
	serve, err := f.Serve.config()
	if err != nil {
		return c, err
	}
	serve.Written = written
	c.Serve, c.Adopt = &serve, adoptedBy(f.Adopt)
	c.Metrics.Textfile = f.Metrics.Textfile.value
	if f.Feedback != nil {
		if c.Feedback, err = f.Feedback.config(c); err != nil {
			return c, err
		}
	}
	if c.Exports, err = f.exports(c); err != nil {
		return c, err
	}
	c.Overrides, err = overrides(f.Overrides)
	return c, err
}

func (p *postfixConfig) setDefaults(state string) {
	if p.Map == "" {
		p.Map = absolutePath(filepath.Join(state, defaultTable))
	}
	if p.Type == "" {
		p.Type = texthash
	}
	if p.Dialect == "" {
		p.Dialect = dialectAuto
	}
}

// placed turns a TOML error into "file:line:column: what".
func placed(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var out []string
		for _, e := range unknown.Errors {
			row, col := e.Position()
			out = append(out, fmt.Sprintf("%s:%d:%d: there is no key %q", path, row, col, strings.Join(e.Key(), ".")))
		}
		return errors.New(strings.Join(out, "; "))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, col := decode.Position()
		return fmt.Errorf("%s:%d:%d: %s", path, row, col, strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", path, err)
}
