package maillog

import (
	"strconv"
	"strings"
)

// Line is one line of smtp(8) with an event.
type Line struct {
	Stamp   string // the time, as the log has it
	Process Process
	Event   Event
}

// Process is who wrote a line. It compares with ==.
type Process struct {
	Tag string // everything between the time and the number: the machine and "postfix/smtp"
	ID  int
}

const (
	// maxPrefix is how far into a line its time, machine and program may reach: a host name, and what containers add.
	maxPrefix = 512
	// maxQueueID is more than any of Postfix's, long ones too.
	maxQueueID = 32
	// maxDomain bounds what may stand behind an @: names in other scripts take more bytes than maxHost.
	maxDomain = 1024
)

// ParseLine reads one line, with or without its line end: of syslog with either kind of time, of journalctl -o short and its
// kin, of postlogd, or of a container's output. ok is false for lines of other programs, and for lines of smtp(8)
// without an event. It never panics, and what it returns does not hold on to line.
func ParseLine(line string) (l Line, ok bool) {
	head, message, id, ok := cutTag(strings.TrimRight(line, "\r\n"))
	if !ok {
		return Line{}, false
	}
	event := parseMessage(message)
	if event == nil {
		return Line{}, false
	}
	stamp, tag := cutStamp(head)
	return Line{strings.Clone(stamp), Process{strings.Clone(tag), id}, event}, true
}

// cutTag finds the end of the program's name, "/smtp[71]: ". Nobody but syslog writes in front of it, so that the first
// one counts; the name in front of the slash is syslog_name, which administrators change.
func cutTag(line string) (head, message string, id int, ok bool) {
	const program = "/smtp["
	at := strings.Index(line[:min(len(line), maxPrefix)], program)
	if at < 0 || strings.Contains(line[:at], ": ") { // another program's line, which talks about such a tag
		return "", "", 0, false
	}
	digits, message, found := strings.Cut(line[at+len(program):], "]: ")
	id, err := strconv.Atoi(digits)
	if !found || err != nil || id < 0 || len(digits) > 10 {
		return "", "", 0, false
	}
	return line[:at+len(program)-1], message, id, true
}

// cutStamp takes the time off, in whatever form it is: machine and program are the last two fields, or the program alone
// where a time stands in front of it.
func cutStamp(head string) (stamp, tag string) {
	head = strings.TrimSpace(head)
	at := strings.LastIndexByte(head, ' ') + 1
	before := strings.TrimRight(head[:at], " ")
	if machine := strings.LastIndexByte(before, ' ') + 1; strings.Count(before[machine:], ":") < 2 {
		at, before = machine, before[:machine]
	}
	return strings.TrimSpace(before), head[at:]
}

func parseMessage(m string) Event {
	if level, rest, ok := cutLevel(m); ok {
		reused := strings.HasPrefix(rest, "reused to ")
		rest, ok = strings.CutPrefix(strings.TrimPrefix(rest, "reused to "), "established to ")
		peer, rest, valid := parsePeer(rest)
		if (!ok && !reused) || !valid || !strings.HasPrefix(rest, ":") {
			return nil
		}
		return Connection{level, reused, peer}
	}
	if rest, ok := strings.CutPrefix(m, "SSL_connect error to "); ok {
		if peer, rest, ok := parsePeer(rest); ok && strings.HasPrefix(rest, ":") {
			return Failure{peer}
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(m, "warning: MX name '"); ok {
		host, rest, _ := strings.Cut(rest, "' does not match STS MX pattern for '")
		if domain, ok := strings.CutSuffix(rest, "'"); ok && len(host) <= maxHost && len(domain) <= maxDomain {
			return Mismatch{strings.Clone(host), strings.Clone(domain)}
		}
		return nil
	}
	if d, ok := parseDelivery(m); ok {
		return d
	}
	return nil
}

// cutLevel takes "Verified TLS connection " and its kin off.
func cutLevel(m string) (level Level, rest string, ok bool) {
	word, rest, _ := strings.Cut(m, " ")
	rest, ok = strings.CutPrefix(rest, "TLS connection ")
	if !ok {
		return None, "", false
	}
	for l, name := range [...]string{Anonymous: "Anonymous", Untrusted: "Untrusted", Trusted: "Trusted", Verified: "Verified"} {
		if name != "" && word == name {
			return Level(l), rest, true
		}
	}
	return None, "", false
}

func parseDelivery(m string) (d Delivery, ok bool) {
	id, rest, found := strings.Cut(m, ": to=<")
	if !found || id == "" || len(id) > maxQueueID || strings.ContainsFunc(id, notAlphanumeric) {
		return Delivery{}, false
	}
	address, rest, ok := cutAddress(rest)
	if !ok {
		return Delivery{}, false
	}
	if original, ok := strings.CutPrefix(rest, ", orig_to=<"); ok {
		if _, rest, ok = cutAddress(original); !ok {
			return Delivery{}, false
		}
	}
	d.QueueID, d.Domain = strings.Clone(id), domainOf(address)
	return d, d.attributes(rest)
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// cutAddress reads an address to its ">". A local part in quotes may have anything in it, also "> , status=sent".
func cutAddress(s string) (address, rest string, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted && (i+1 == len(s) || s[i+1] == ','):
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

func domainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || len(address)-at > maxDomain {
		return ""
	}
	return strings.Clone(address[at+1:])
}

// attributes reads ", relay=…, conn_use=…, delay=…, dsn=…, status=… (…)". Newer versions have more of them. What stands in
// the parentheses is partly a server's.
func (d *Delivery) attributes(rest string) bool {
	for {
		var found bool
		if rest, found = strings.CutPrefix(rest, ", "); !found {
			return false
		}
		name, value, found := strings.Cut(rest, "=")
		if !found || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && notAlphanumeric(r) }) {
			return false
		}
		if name == "status" {
			return d.status(value)
		}
		end := strings.Index(value, ", ")
		if end < 0 {
			return false
		}
		switch name {
		case "relay":
			d.Relay, _, _ = parsePeer(value[:end]) // else "none", or a unix socket
		case "dsn":
			if end <= len("5.123.123") {
				d.DSN = strings.Clone(value[:end])
			}
		}
		rest = value[end:]
	}
}

func (d *Delivery) status(value string) bool {
	word, text, _ := strings.Cut(value, " ")
	switch d.Status = Status(strings.Clone(word)); d.Status {
	case Sent, Deferred, Bounced:
	default: // "undeliverable" and "deliverable" are of probes (address_verify), "expired" of the queue
		return false
	}
	text, _ = strings.CutPrefix(text, "(")
	for _, r := range reasons {
		if d.Status != Sent && strings.HasPrefix(text, r.begins) {
			d.Reason = r.reason
			break
		}
	}
	return true
}
