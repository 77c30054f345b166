package maillog

import (
	"container/list"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Attempt is one delivery with what is known about its session.
type Attempt struct {
	Stamp  string        // the time, as the log has it
	Domain policy.Domain // of the recipient; zero where it is none, as for u@[192.0.2.1]
	Host   policy.Domain // the MX host; zero where nobody was reached, or no name
	Relay  Peer
	Level  Level
	DSN    string
	Status Status
	Reason Reason
}

// Verified reports whether the session was what a policy demanded. Without a policy Postfix does not look at names, and
// says at most Trusted.
func (a Attempt) Verified() bool { return a.Level == Verified }

// maxProcesses is how many processes are remembered. A Postfix has 100 of smtp(8) by default
// (default_process_limit), and processes end after 100 messages: this is room for many machines in one log.
const maxProcesses = 4096

// Linker joins the lines of a log, given in their order, to attempts. The zero value is ready. Its memory is bounded; of
// more processes than it can remember it forgets the one that was silent longest, whose deliveries then count as of
// level None. Not for concurrent use.
type Linker struct {
	sessions map[Process]*list.Element // of *session
	byUse    list.List                 // the latest in front
}

// session is the last TLS session of a process, or, while it has none, the domain whose MX host it has passed over last.
type session struct {
	process Process
	peer    Peer
	level   Level
	queueID string // the message that it was used for; "" until there is one
	passed  string
}

// Line takes the next line of the log; ok is true when it completes an attempt.
func (l *Linker) Line(text string) (a Attempt, ok bool) {
	line, ok := ParseLine(text)
	if !ok {
		return Attempt{}, false
	}
	return l.Event(line)
}

// Event is Line for a line that is parsed already.
func (l *Linker) Event(line Line) (a Attempt, ok bool) {
	switch e := line.Event.(type) {
	case Connection:
		l.put(session{process: line.Process, peer: e.Peer, level: e.Level})
	case Failure:
		l.drop(line.Process)
	case Mismatch:
		l.put(session{process: line.Process, passed: e.Domain})
	case Delivery:
		a = Attempt{Stamp: line.Stamp, Relay: e.Relay, DSN: e.DSN, Status: e.Status, Reason: e.Reason}
		a.Domain, _ = policy.NormalizeDomain(e.Domain)
		a.Host, _ = policy.NormalizeDomain(e.Relay.Host)
		a.Level = l.level(line.Process, e)
		if a.Status != Sent && a.Reason == "" && e.Relay == (Peer{}) && l.passed(line.Process, e) {
			a.Reason = NotNamed
		}
		return a, true
	}
	return Attempt{}, false
}

// level finds the session of a delivery. A process keeps none over to its next message without saying so ("reused"): what
// has no line of its own went out in clear text.
func (l *Linker) level(p Process, d Delivery) Level {
	held, ok := l.sessions[p]
	if !ok {
		return None
	}
	s := held.Value.(*session)
	if s.queueID != "" && s.queueID != d.QueueID {
		l.drop(p)
		return None
	}
	if s.peer != d.Relay || s.peer == (Peer{}) {
		return None
	}
	s.queueID = d.QueueID
	l.byUse.MoveToFront(held)
	return s.level
}

// passed reports whether the process has passed over a host of the delivery's domain, and nothing since.
func (l *Linker) passed(p Process, d Delivery) bool {
	held, ok := l.sessions[p]
	return ok && d.Domain != "" && strings.EqualFold(held.Value.(*session).passed, d.Domain)
}

func (l *Linker) put(s session) {
	if l.sessions == nil {
		l.sessions = map[Process]*list.Element{}
	}
	l.drop(s.process)
	l.sessions[s.process] = l.byUse.PushFront(&s)
	if l.byUse.Len() > maxProcesses {
		l.drop(l.byUse.Back().Value.(*session).process)
	}
}

func (l *Linker) drop(p Process) {
	if held, ok := l.sessions[p]; ok {
		l.byUse.Remove(held)
		delete(l.sessions, p)
	}
}
