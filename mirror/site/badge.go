package site

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// Badges say at which state a domain is, in a picture: with white letters on colours of their own, they look the same on
// light pages and on dark ones, and fetch no font.

// badge is a state as a picture shows it.
type badge struct{ State, Text, Meaning, colour string }

// stateNotListed is of a domain that was never listed, which has no Status.
const stateNotListed = "not-listed"

func badges() []badge {
	return []badge{
		{StatusEnforce, "enforce", "on the list: senders that use it deliver over verified TLS only", "#1a6b34"},
		{StatusTesting, "testing", "on the list, for a try: senders deliver as they always did", "#0a58a8"},
		{"held", "held", "not on the list yet: its entry is held", "#7a4b00"},
		{StatusRemoved, "removed", "not on the list any more", "#a4262c"},
		{stateNotListed, "not listed", "not on the list", "#555c63"},
	}
}

// badgeOf finds the badge of a status; of one that is in no table there is none.
func badgeOf(status string) (badge, bool) {
	if status == StatusPending {
		status = "held"
	}
	for _, b := range badges() {
		if b.State == status {
			return b, true
		}
	}
	return badge{}, false
}

const (
	badgeLabel  = "STARTTLS list"
	badgeHeight = 20
	badgeLetter = 7 // width of one on average; textLength makes it so with any font
	badgeMargin = 8
	badgeLeft   = "#33393f"
	badgeText   = "#ffffff"
	badgeLine   = "#808890" // around both halves, and visible on white and on black
)

// svg draws the badge; subject begins what is read out.
func (b badge) svg(subject string) []byte {
	left := utf8.RuneCountInString(badgeLabel)*badgeLetter + 2*badgeMargin
	right := utf8.RuneCountInString(b.Text)*badgeLetter + 2*badgeMargin
	title := html.EscapeString(subject + ": " + b.Meaning)
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, left+right, badgeHeight)
	fmt.Fprintf(&s, "\n<title>%s</title>\n", title)
	fmt.Fprintf(&s, `<rect x=".5" y=".5" width="%d" height="%d" rx="3" fill="%s" stroke="%s"/>`+"\n", left+right-1, badgeHeight-1, badgeLeft, badgeLine)
	fmt.Fprintf(&s, `<path d="M%d 1h%da2.5 2.5 0 0 1 2.5 2.5v%da2.5 2.5 0 0 1-2.5 2.5h-%dz" fill="%s"/>`+"\n", left, right-4, badgeHeight-7, right-4, b.colour)
	fmt.Fprintf(&s, `<g fill="%s" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">`+"\n", badgeText)
	for _, part := range []struct {
		middle, width int
		text          string
	}{{left / 2, left - 2*badgeMargin, badgeLabel}, {left + right/2, right - 2*badgeMargin, b.Text}} {
		fmt.Fprintf(&s, `<text x="%d" y="14" textLength="%d" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n", part.middle, part.width, html.EscapeString(part.text))
	}
	s.WriteString("</g>\n</svg>\n")
	return []byte(s.String())
}

// addBadges adds one for each state and, where domains have pages, one for each domain, which changes with its status.
func (b *builder) addBadges() {
	for _, badge := range badges() {
		b.add("site/badge/"+badge.State+".svg", func() ([]byte, error) { return badge.svg("A domain"), nil })
	}
	if b.large() {
		return
	}
	for i := range b.all {
		s := &b.all[i]
		if badge, ok := badgeOf(s.Status); ok {
			b.add("site/domain/"+s.name+"/badge.svg", func() ([]byte, error) { return badge.svg(s.name), nil })
		}
	}
}
