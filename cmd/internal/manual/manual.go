// Package manual writes manual pages from what a command's help says, so that the two cannot differ.
//
// A command's Long text is paragraphs. One that begins with "Exit codes:" becomes the section EXIT STATUS, one that begins
// with "Files:" the section FILES, and a command that has neither takes its parent's. A paragraph with indented lines stays
// as it is. Each command has a page of its own, as git's have:
//
//	starttls-policy.1  starttls-policy-update.1  …
//
// What comes out depends on nothing but the commands and the date that is given.
package manual

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Page is one manual page.
type Page struct {
	Name    string // "starttls-policy-update"
	Section string // "1" for commands, "5" for files
	Text    []byte // roff, for man(1) and mandoc(1)
}

// File is the page's name below a folder of MANPATH: "man1/starttls-policy-update.1".
func (p Page) File() string { return "man" + p.Section + "/" + p.Name + "." + p.Section }

// Book is what all pages of a program have in common.
type Book struct {
	Root *cobra.Command
	Date time.Time // zero: the pages have none
	// Related are pages besides the commands' own to look at, such as "postconf(5)".
	Related []string
}

// Pages are those of all commands that help shows, the root's first, the others in the order of the help.
func (b Book) Pages() []Page {
	var out []Page
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		out = append(out, b.page(c))
		for _, child := range children(c) {
			add(child)
		}
	}
	add(b.Root)
	return out
}

// children are the commands that have pages: "help" and "completion" are cobra's own.
func children(c *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(c.Commands()), func(c *cobra.Command) bool {
		return c.Hidden || c.Name() == "help" || c.Name() == "completion"
	})
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func (b Book) page(c *cobra.Command) Page {
	r := &roff{}
	b.begin(r, pageName(c), "1")
	r.section("NAME")
	r.plain(pageName(c) + " - " + c.Short)
	r.section("SYNOPSIS")
	b.synopsis(r, c)
	about := split(c.Long)
	r.section("DESCRIPTION")
	if len(about.text) == 0 {
		about.text = []string{capital(c.Short) + "."}
	}
	r.blocks(about.text)
	commands(r, c)
	options(r, "OPTIONS", collect(c.LocalFlags().VisitAll))
	options(r, "GLOBAL OPTIONS", collect(c.InheritedFlags().VisitAll))
	if exit := inherit(c, func(t text) []string { return t.exit }); exit != nil {
		r.section("EXIT STATUS")
		r.blocks(exit)
	}
	if files := inherit(c, func(t text) []string { return t.files }); files != nil {
		r.section("FILES")
		table(r, files)
	}
	if c.Example != "" {
		r.section("EXAMPLES")
		r.verbatim(outdent(c.Example))
	}
	b.seeAlso(r, c)
	return Page{pageName(c), "1", r.Bytes()}
}

func (b Book) begin(r *roff, name, section string) {
	date := ""
	if !b.Date.IsZero() {
		date = b.Date.UTC().Format(time.DateOnly)
	}
	r.title(name, section, date, strings.TrimSpace(b.Root.Name()+" "+b.Root.Version), "policylist")
}

// synopsis repeats the command line of the help; alternatives, which it separates by " | command", get a line each.
func (b Book) synopsis(r *roff, c *cobra.Command) {
	parent := strings.TrimSuffix(c.CommandPath(), c.Name())
	uses := []string{c.Use}
	if first, second, ok := strings.Cut(c.Use, " | "+c.Name()+" "); ok {
		uses = []string{first, c.Name() + " " + second}
	}
	if c == b.Root {
		uses = []string{c.Name() + " COMMAND [--help]"}
	}
	for i, use := range uses {
		if i > 0 {
			r.WriteString(".br\n")
		}
		name, rest, _ := strings.Cut(use, " ")
		fmt.Fprintln(r, strings.TrimSpace(bold(parent+name)+" "+escape(rest)))
	}
}

func commands(r *roff, c *cobra.Command) {
	if len(children(c)) == 0 {
		return
	}
	r.section("COMMANDS")
	for _, child := range children(c) {
		r.item(bold(pageName(child)) + "(1)")
		r.text(child.Short)
	}
}

// table writes lines of two columns, which blanks separate, as items.
func table(r *roff, paragraphs []string) {
	for l := range strings.Lines(strings.Join(paragraphs, "\n")) {
		left, right, _ := strings.Cut(strings.TrimSpace(l), "  ")
		r.item(bold(left))
		r.text(right)
	}
}

func (b Book) seeAlso(r *roff, c *cobra.Command) {
	var pages []string
	if c.HasParent() {
		pages = append(pages, pageName(c.Parent())+"(1)")
	}
	for _, child := range children(c) {
		pages = append(pages, pageName(child)+"(1)")
	}
	pages = append(pages, b.Related...)
	if len(pages) == 0 {
		return
	}
	r.section("SEE ALSO")
	r.references(pages)
}

// references names pages, "name(section)", in the way that readers follow.
func (r *roff) references(pages []string) {
	for i, p := range pages {
		name, section, _ := strings.Cut(p, "(")
		end := ","
		if i == len(pages)-1 {
			end = ""
		}
		fmt.Fprintf(r, ".BR %s (%s%s\n", escape(name), section, end)
	}
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
