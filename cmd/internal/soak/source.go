package soak

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// source is the list as its operator wants it. Most of it stays; one entry says how often it was edited, so that a lost edit
// shows; a few others come, go and change. So few change that no client holds a release back (mirror/guard.go).
type source struct {
	rnd     *rand.Rand
	edition int
	moving  [moving]entry // a zero one is absent
}

type entry struct {
	Mode string   `json:"mode"`
	MXs  []string `json:"mxs"`
}

// The sizes of the source, in domains.
const (
	fixed  = 150
	moving = 12
)

// serial is the domain that counts the editions.
const serial = "serial.soak.example"

func newSource(rnd *rand.Rand) source {
	s := source{rnd: rnd}
	for i := range s.moving {
		s.change(i)
	}
	return s
}

// edit makes the next edition.
func (s *source) edit() {
	s.edition++
	for range s.rnd.IntN(4) {
		s.change(s.rnd.IntN(moving))
	}
}

// change lets an entry be any of several.
func (s *source) change(i int) {
	mode := [...]string{"enforce", "testing", ""}[s.rnd.IntN(3)]
	if s.moving[i] = (entry{}); mode != "" {
		s.moving[i] = entry{mode, []string{fmt.Sprintf("mx%d.moving%d.example", s.rnd.IntN(3), i)}}
	}
}

// now is the present edition of the serial entry.
func (s *source) now() entry {
	return entry{"enforce", []string{fmt.Sprintf("mx%d.%s", s.edition, serial)}}
}

// entries are all there are.
func (s *source) entries() map[string]entry {
	all := map[string]entry{serial: s.now()}
	for i := range fixed {
		all[fmt.Sprintf("fixed%d.example", i)] = entry{"enforce", []string{fmt.Sprintf("mx.fixed%d.example", i), fmt.Sprintf(".mail.fixed%d.example", i)}}
	}
	for i, e := range s.moving {
		if e.Mode != "" {
			all[fmt.Sprintf("moving%d.example", i)] = e
		}
	}
	return all
}

// domains are what the daemon is asked about: everything that can be listed, and what never is.
func domains() []string {
	all := []string{serial, "unlisted.example", "sub.fixed0.example"}
	for i := range moving {
		all = append(all, fmt.Sprintf("moving%d.example", i))
	}
	for i := range fixed {
		all = append(all, fmt.Sprintf("fixed%d.example", i))
	}
	return all
}

// write puts the entries into the folder of a source, as its only fragment.
func (s *source) write(folder string) error {
	text, err := json.Marshal(map[string]any{"policies": s.entries()})
	if err != nil {
		return err
	}
	fragments := filepath.Join(folder, "domains")
	names, err := os.ReadDir(fragments)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n.Name() != sourceFile {
			if err := os.Remove(filepath.Join(fragments, n.Name())); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(fragments, sourceFile), text, 0o644)
}

const sourceFile = "soak.json"
