package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// nodeReader walks a document and collects what is wrong with it.
type nodeReader struct {
	doc      *Document
	findings []Finding
}

// openDocument parses f. What no reader can repair, and every name that stands twice, becomes a finding; the document is
// nil when f is no JSON.
func openDocument(f File) nodeReader {
	doc, err := ParseDocument(f)
	r := nodeReader{doc: doc}
	if err != nil {
		var syntax *SyntaxError
		errors.As(err, &syntax)
		code := "json.syntax"
		if syntax.Encoding {
			code = "json.encoding"
		}
		r.findings = append(r.findings, NewFinding(code, syntax.Position, "", syntax.Message))
		return r
	}
	for _, d := range doc.Duplicates {
		r.report("json.duplicate-key", d.Second, "", "%q stands here for the second time, first in line %d", d.Key, doc.Position(d.First).Line)
	}
	return r
}

func (r *nodeReader) report(code string, at int, domain, format string, args ...any) {
	r.findings = append(r.findings, NewFinding(code, r.doc.Position(at), domain, fmt.Sprintf(format, args...)))
}

// is reports whether n has the type that what needs.
func (r *nodeReader) is(n *Node, kind JSONKind, what, domain string) bool {
	if n.Kind == kind {
		return true
	}
	r.report("source.shape", n.At, domain, "%s is %s and should be %s", what, n.Kind, kind)
	return false
}

// retiredKeys were in the format until November 2018 (rule R44).
func retiredKeys() []string {
	return []string{"pinsets", "report", "pin", "mta-sts", "min-tls-version"}
}

// stray reports a member that where does not have.
func (r *nodeReader) stray(n *Node, where, domain string, known []string) {
	if slices.Contains(retiredKeys(), n.Key) {
		r.report("source.retired-key", n.KeyAt, domain, "%q was taken out of the format in 2018", n.Key)
		return
	}
	r.report("source.unknown-key", n.KeyAt, domain, "%s has no member %q; it may have %s", where, n.Key, strings.Join(known, ", "))
}

// members checks that n is an object of known names only and returns it by name; of duplicates the last counts.
func (r *nodeReader) members(n *Node, where string, known ...string) map[string]*Node {
	if !r.is(n, JSONObject, where, "") {
		return nil
	}
	found := make(map[string]*Node, len(known))
	for i := range n.Children {
		c := &n.Children[i]
		if !slices.Contains(known, c.Key) {
			r.stray(c, where, "", known)
			continue
		}
		found[c.Key] = c
	}
	return found
}

// text returns the string in n; "" with a finding when n holds something else, without one when n is nil.
func (r *nodeReader) text(n *Node, what, domain string) string {
	if n == nil || !r.is(n, JSONString, what, domain) {
		return ""
	}
	return n.Text
}
