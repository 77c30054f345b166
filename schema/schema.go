// Package schema holds the JSON Schemas (draft-07) of every format that is JSON, for people who write or read them with
// other tools, and validates against them. README.md beside it is the specification in words: it says what a schema
// cannot, such as byte order. The package knows no mail domain and reads nothing but its embedded files.
//
//	set, err := schema.Load()
//	for _, v := range set.Validate(schema.Fragment, value) {
//		fmt.Println(v.Pointer, v.Message) // "/policies/a.example/mode" "value must be one of \"testing\", \"enforce\""
//	}
package schema

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

//go:embed *.schema.json
var files embed.FS

// Kind names a format; its schema is the file KIND.schema.json.
type Kind string

const (
	Settings          Kind = "settings"           // list.json of a source
	Fragment          Kind = "fragment"           // any other file of a source
	IncidentReport    Kind = "incident"           // a file below incidents/ in a source
	OldList           Kind = "old-list"           // the 0.1 format as the old project wrote it
	List              Kind = "list"               // policy.json as we publish it
	ChangeLeaf        Kind = "change-leaf"        // a domain's policy set or deleted
	TrustLeaf         Kind = "trust-leaf"         // a trust version took effect
	ReleaseLeaf       Kind = "release-leaf"       // a signed release
	EvidenceHeader    Kind = "evidence-header"    // the first line of an evidence file
	EvidenceDomain    Kind = "evidence-domain"    // every line between
	EvidenceSignature Kind = "evidence-signature" // the last line

	EvidenceMerged       Kind = "evidence-merged"        // the first line of a file that joins several vantages
	EvidenceMergedDomain Kind = "evidence-merged-domain" // every line between
	EvidenceMergedEnd    Kind = "evidence-merged-end"    // the last line

	EvidenceFeedback Kind = "evidence-feedback" // a line behind those of the vantages
	Feedback         Kind = "feedback"          // what mail servers reported, one week
	Contribution     Kind = "contribution"      // what one of them told, one day

	Findings Kind = "findings" // what check --format json prints
	Survey   Kind = "survey"   // the statistics of a survey

	Status       Kind = "status"        // a shard of the site's status API
	StatusList   Kind = "status-list"   // which release that API is about
	StatusCodes  Kind = "status-codes"  // the texts of the codes in it
	StatusChange Kind = "status-change" // a line of the site's changes.jsonl

	StatusPending Kind = "status-pending" // what is held, as that API tells it
	JSONFeed      Kind = "json-feed"      // the site's feeds, as JSON
	SiteManifest  Kind = "site-manifest"  // the site's objects
)

// Kinds returns all formats.
func Kinds() []Kind {
	return []Kind{Settings, Fragment, IncidentReport, OldList, List, ChangeLeaf, TrustLeaf, ReleaseLeaf, EvidenceHeader, EvidenceDomain, EvidenceSignature,
		EvidenceMerged, EvidenceMergedDomain, EvidenceMergedEnd, EvidenceFeedback, Feedback, Contribution, Findings, Survey, Status, StatusList, StatusCodes, StatusChange, StatusPending, JSONFeed, SiteManifest}
}

// Text returns the schema of kind as it is published.
func Text(kind Kind) ([]byte, error) { return files.ReadFile(string(kind) + ".schema.json") }

// Set holds the compiled schemas. It may be used by several goroutines at once.
type Set struct {
	compiled map[Kind]*jsonschema.Schema
}

// Load returns the embedded schemas, compiled once in a process: that takes longer than the check of a small list. It fails
// only when they are broken, which a test excludes.
func Load() (*Set, error) { return load() }

var load = sync.OnceValues(compile)

func compile() (*Set, error) {
	set := &Set{compiled: make(map[Kind]*jsonschema.Schema)}
	for _, kind := range Kinds() {
		text, err := Text(kind)
		if err != nil {
			return nil, err
		}
		c := jsonschema.NewCompiler()
		c.Draft = jsonschema.Draft7
		c.LoadURL = func(url string) (io.ReadCloser, error) {
			return nil, fmt.Errorf("schema %s: it refers to %s, and nothing is fetched", kind, url)
		}
		if err := c.AddResource(string(kind), strings.NewReader(string(text))); err != nil {
			return nil, fmt.Errorf("schema %s: %w", kind, err)
		}
		if set.compiled[kind], err = c.Compile(string(kind)); err != nil {
			return nil, fmt.Errorf("schema %s: %w", kind, err)
		}
	}
	return set, nil
}

// Violation is one place where a value differs from its schema.
type Violation struct {
	Pointer string // RFC 6901, "" for the whole value
	Message string
}

// Validate returns how v, a value as encoding/json decodes it (numbers may be json.Number), differs from the schema of
// kind, sorted by pointer; nil when it does not.
func (s *Set) Validate(kind Kind, v any) []Violation {
	compiled, ok := s.compiled[kind]
	if !ok {
		return []Violation{{"", fmt.Sprintf("there is no schema %q", kind)}}
	}
	err := compiled.Validate(v)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		// An endless loop of references or a value that is no JSON: nothing of ours makes either.
		return []Violation{{"", err.Error()}}
	}
	out := leaves(nil, invalid)
	slices.SortFunc(out, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// leaves collects the innermost complaints; those around them only say that something inside is wrong.
func leaves(out []Violation, e *jsonschema.ValidationError) []Violation {
	if len(e.Causes) == 0 {
		at, err := url.PathUnescape(e.InstanceLocation) // the library writes pointers as URL fragments
		if err != nil {
			at = e.InstanceLocation
		}
		return append(out, Violation{at, e.Message})
	}
	for _, c := range e.Causes {
		out = leaves(out, c)
	}
	return out
}
