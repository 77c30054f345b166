package mirror

import (
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

func (v *vectorWorld) makeLists() {
	c := vector{Kind: "list"}
	good := v.book.files[v.lists[2]]
	v.accept(c, "list", "the list of release 2", good)
	empty, err := policy.List{}.Bytes(policy.Header{Timestamp: worldStart, Expires: worldStart.AddDate(0, 0, 14), Author: `A "quoted" \ author`})
	v.must(err)
	v.accept(c, "empty", "no domains, and an author with both escapes", empty)
	swaps := []struct{ name, why, old, new string }{
		{"bom", "a byte order mark", "{\n\"timestamp\"", "\ufeff{\n\"timestamp\""},
		{"crlf", "line ends are a newline alone", "{\n", "{\r\n"},
		{"no-final-newline", "the last newline is missing", "}\n}\n", "}\n}"},
		{"second-final-newline", "something follows the last newline", "}\n}\n", "}\n}\n\n"},
		{"space", "white space after a colon", `"mode":"`, `"mode": "`},
		{"one-line", "domains stand on lines of their own", "]},\n\"b.", "]},\"b."},
		{"comma-at-end", "a comma behind the last domain", "]}\n}\n}\n", "]},\n}\n}\n"},
		{"comma-missing", "no comma between two domains", "]},\n\"b.", "]}\n\"b."},
		{"version", "another version of the format", `"0.1"`, `"0.2"`},
		{"version-number", "the version as a number", `"0.1"`, `0.1`},
		{"aliases", "aliases are resolved when a list is made", `"policy-aliases":{}`, `"policy-aliases":{"x":{"mode":"testing","mxs":["mx.x.example"]}}`},
		{"unknown-member", "a member that the format has not", "\"version\"", "\"comment\":\"\",\n\"version\""},
		{"member-order", "expires before timestamp", "\"timestamp\"", "\"expires\""},
		{"fraction", "a time with a fraction of a second", `:00Z"`, `:00.0Z"`},
		{"offset", "a time with an offset", `:00Z"`, `:00+00:00"`},
		{"month-13", "a month that is none", `"timestamp":"2026-11`, `"timestamp":"2026-13`},
		{"leap-second", "a second 60", `:00Z"`, `:60Z"`},
		{"author-not-ascii", "strings are printable ASCII", `"Test List`, `"Tést List`},
		{"author-escape", "an escape that need not be", `"Test List`, `"\u0054est List`},
		{"author-slash", "a slash is not escaped", `"Test List`, `"Test\/List`},
		{"author-control", "a control character", `"Test List`, "\"Test\tList"},
		{"mode-none", "the list has no mode none", `"testing"`, `"none"`},
		{"mode-capital", "a capital letter in the mode", `"testing"`, `"Testing"`},
		{"mode-missing", "an entry without a mode", `"mode":"testing",`, ``},
		{"mxs-first", "members are sorted", `"mode":"testing","mxs":["mx1.d.example","mx2.d.example"]`, `"mxs":["mx1.d.example","mx2.d.example"],"mode":"testing"`},
		{"mxs-empty", "an entry without MX names", `["mx1.d.example","mx2.d.example"]`, `[]`},
		{"mxs-unsorted", "MX names are sorted", `["mx1.d.example","mx2.d.example"]`, `["mx2.d.example","mx1.d.example"]`},
		{"mxs-twice", "an MX name twice", `"mx2.d.example"`, `"mx1.d.example"`},
		{"mxs-null", "there is no null", `["mx1.d.example","mx2.d.example"]`, `null`},
		{"mxs-string", "one MX name is a list of one, too", `["mx1.d.example","mx2.d.example"]`, `"mx1.d.example"`},
		{"pinset", "a retired member", `["mx1.d.example","mx2.d.example"]`, `["mx1.d.example","mx2.d.example"],"pin":"x"`},
		{"mx-wildcard", "a suffix begins with a dot, not with an asterisk", `".mail.a.example"`, `"*.mail.a.example"`},
		{"mx-two-dots", "an empty label", `".mail.a.example"`, `"..mail.a.example"`},
		{"domain-capital", "a domain with a capital letter", `"d.example"`, `"D.example"`},
		{"domain-dot", "a domain with its final dot", `"d.example"`, `"d.example."`},
		{"domain-one-label", "a domain of one label", `"d.example"`, `"example"`},
		{"domain-unicode", "a domain that is not in A-labels", "xn--bcher-kva", "bücher"},
		{"domain-underscore", "no letter, digit or hyphen", `"d.example"`, `"d_d.example"`},
		{"domain-hyphen", "a label that ends with a hyphen", `"d.example"`, `"d-.example"`},
		{"domain-address", "an IP address for a name", `"b.example"`, `"192.0.2.1"`},
		{"domain-suffix", "a domain is not a suffix", `"b.example"`, `".b.example"`},
		{"domain-label-64", "a label of 64 bytes", `"d.example"`, `"` + strings.Repeat("d", 64) + `.example"`},
		{"domain-254", "a name of 254 bytes", `"d.example"`, `"` + strings.Repeat(strings.Repeat("d", 61)+".", 4) + `d.dddd"`},
		{"domain-order", "domains are sorted by bytes", `"b.example"`, `"e.example"`},
		{"domain-twice", "a domain twice", `"b.example"`, `"a.example"`},
	}
	for _, s := range swaps {
		v.refuse(c, s.name, s.why, swap(v.t, good, s.old, s.new))
	}
	var many []string
	for i := range 17 {
		many = append(many, fmt.Sprintf(`"mx%02d.d.example"`, i))
	}
	v.refuse(c, "mxs-17", "17 MX names, where 16 are the most", swap(v.t, good, `"mx1.d.example","mx2.d.example"`, strings.Join(many, ",")))
	v.accept(c, "mxs-16", "16 MX names", swap(v.t, good, `"mx1.d.example","mx2.d.example"`, strings.Join(many[:16], ",")))
	v.accept(c, "domain-253", "a name of 253 bytes", swap(v.t, good, `"d.example"`, `"`+strings.Repeat(strings.Repeat("d", 61)+".", 4)+`d.ddd"`))
	v.refuse(c, "cut", "the file ends early", good[:len(good)/2])
	v.refuse(c, "nothing", "no bytes at all", nil)
}

func (v *vectorWorld) makeLeaves() {
	c := vector{Kind: "leaf"}
	entries := v.leaves
	set, release := entries[0], entries[4]
	v.accept(c, "change-set", "a domain comes onto the list", set)
	v.accept(c, "change-del", "a domain leaves the list", entries[6])
	v.accept(c, "trust", "trust version 2 takes effect", entries[10])
	v.accept(c, "release-first", "the first release", release)
	v.accept(c, "release", "a later release", entries[11])
	swaps := []struct {
		name, why, old, new string
		of                  []byte
	}{
		{"space", "white space", `,"kind"`, `, "kind"`, set},
		{"newline", "an entry has no newline at its end", `}`, "}\n", []byte(`{"kind":"trust","sha256":"` + strings.Repeat("ab", 32) + `","version":2}`)},
		{"order", "members are sorted", `"domain":"a.example","kind":"change"`, `"kind":"change","domain":"a.example"`, set},
		{"unknown-member", "a member that the format has not", `{"domain"`, `{"comment":"","domain"`, set},
		{"duplicate-member", "a member twice", `"kind":"change"`, `"kind":"change","kind":"change"`, set},
		{"kind", "a kind that is none", `"change"`, `"note"`, set},
		{"op", "an operation that is none", `"set"`, `"put"`, set},
		{"set-without-policy", "set takes a policy", `,"policy":{"mode":"enforce","mxs":[".mail.a.example","mx.a.example"]}`, ``, set},
		{"del-with-policy", "del takes none", `"op":"set"`, `"op":"del"`, set},
		{"reason-empty", "a change has a reason", `"add.owner"`, `""`, set},
		{"reason-capital", "a code has no capital letters", `"add.owner"`, `"Add.owner"`, set},
		{"reason-65", "a code of 65 bytes", `"add.owner"`, `"` + strings.Repeat("a", 65) + `"`, set},
		{"number-zero-first", "a leading zero", `"release":1}`, `"release":01}`, set},
		{"number-sign", "a sign", `"release":1}`, `"release":-1}`, set},
		{"number-exponent", "an exponent", `"release":1}`, `"release":1e0}`, set},
		{"number-fraction", "a fraction", `"release":1}`, `"release":1.0}`, set},
		{"number-string", "a number in quotes", `"release":1}`, `"release":"1"}`, set},
		{"number-2-53", "2^53 is more than the most", `"release":1}`, `"release":9007199254740992}`, set},
		{"digest-capital", "a digest in capitals", `"sha256":"` + shaStart(entries[10]), `"sha256":"` + strings.ToUpper(shaStart(entries[10])), entries[10]},
		{"digest-short", "a digest of 62 digits", `"sha256":"` + shaStart(entries[10])[:2], `"sha256":"`, entries[10]},
		{"trust-null", "there is no null", `"version":2`, `"version":null`, entries[10]},
		{"signatures-none", "a release has signatures", release2signatures(release), `"signatures":[]`, release},
		{"signature-no-padding", "base64 without its padding", `="`, `"`, release},
		{"key-short", "a key ID of 31 bytes", `"key":"` + keyStart(release), `"key":"` + keyStart(release)[:41] + `A==`, release},
		{"key-stray-bits", "base64 with bits set behind its last byte", `"key":"` + keyStart(release), `"key":"` + keyStart(release)[:42] + `B=`, release},
		{"override-space", "an override is a code", `"override":""`, `"override":"a b"`, release},
		{"previous-null", "the first release has an empty previous", `"previous":""`, `"previous":null`, release},
		{"time-lower", "a time with a small z", `Z","kind"`, `z","kind"`, release},
		{"nested-order", "members of members are sorted, too", `"changes":{"from":0,"to":4}`, `"changes":{"to":4,"from":0}`, release},
		{"author-257", "an author of 257 bytes", `"Test List <list@policylist.example>"`, `"` + strings.Repeat("a", 257) + `"`, release},
		{"list-size-negative", "a size with a sign", `"size":`, `"size":-`, release},
	}
	for _, s := range swaps {
		v.refuse(c, s.name, s.why, swap(v.t, s.of, s.old, s.new))
	}
	v.accept(c, "number-2-53-1", "the highest number", swap(v.t, set, `"release":1}`, `"release":9007199254740991}`))
	v.refuse(c, "nothing", "no bytes at all", nil)
}

func shaStart(trust []byte) string {
	_, rest, _ := strings.Cut(string(trust), `"sha256":"`)
	return rest[:64]
}

func keyStart(release []byte) string {
	_, rest, _ := strings.Cut(string(release), `"key":"`)
	return rest[:44]
}

func release2signatures(release []byte) string {
	text := string(release)
	start := strings.Index(text, `"signatures":[`)
	return text[start : start+strings.Index(text[start:], `]`)+1]
}
