package main

import (
	"bytes"
	"os"
	"regexp"

	"github.com/pelletier/go-toml/v2"
)

// stateLine finds the state folder in a file that is no TOML.
var stateLine = regexp.MustCompile(`(?m)^[ \t]*state[ \t]*=[ \t]*["']([^"'\n]+)["']`)

// salvageConfig reads what it can of a configuration with a mistake in it: all but the keys that nobody knows, or the state
// folder alone, and then known is false. It is for the kill switch, which must not wait for the mistake to be found.
func salvageConfig(path string) (c config, known bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return config{State: defaultState}, false
	}
	var f configFile
	if err := toml.NewDecoder(bytes.NewReader(data)).Decode(&f); err == nil {
		if c, err := f.config(); err == nil {
			return c, true
		}
	}
	var state absolutePath
	if m := stateLine.FindSubmatch(data); m == nil || state.UnmarshalText(m[1]) != nil {
		state = defaultState
	}
	return config{State: string(state)}, false
}
