package main

import (
	"fmt"
	"path/filepath"
)

// metricsConfig is the [metrics] table.
type metricsConfig struct {
	Textfile textfilePath // "" for none
}

// metricsFile is [metrics] as TOML has it.
type metricsFile struct {
	Textfile setting[textfilePath, *textfilePath] `toml:"textfile"`
}

// textfilePath is a file for node_exporter's textfile collector, which reads no other names.
type textfilePath string

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *textfilePath) UnmarshalText(text []byte) error {
	if path := string(text); !filepath.IsAbs(path) || filepath.Ext(path) != ".prom" {
		return fmt.Errorf("textfile = %q: it is an absolute path that ends with \".prom\"", text)
	}
	*p = textfilePath(filepath.Clean(string(text)))
	return nil
}
