package tlsrpt

import (
	"fmt"
	"slices"
	"strconv"
)

func (p *parser) dateRange() {
	p.members(func(name string) bool {
		switch name {
		case "start-datetime":
			p.report.Begin = p.time()
		case "end-datetime":
			p.report.End = p.time()
		default:
			return false
		}
		return true
	})
}

// policies reads the array; one object in its place is its only item.
func (p *parser) policies() {
	p.report.Policies, p.details = nil, 0
	p.items("an object", func(i int) bool {
		if i == p.limits.Policies {
			p.s.err = fmt.Errorf("%w: more than %d policies", ErrLimit, p.limits.Policies)
			p.s.pos = len(p.s.src)
			return true
		}
		if p.s.peek() != '{' {
			p.wrong("an object", p.s.skip())
			return true
		}
		p.report.Policies = append(p.report.Policies, p.policy())
		return true
	})
}

func (p *parser) policy() Policy {
	var out Policy
	summary := false
	p.members(func(name string) bool {
		summary = summary || name == "summary"
		return p.policyMember(name, &out)
	})
	if !summary {
		p.note(NoteAbsent, "it has no summary; its failures are those of its details")
		for i := range out.Details {
			out.Failed = add(out.Failed, out.Details[i].Failed)
		}
	}
	if out.Type == "" {
		p.note(NoteAbsent, "it has no policy")
		out.Type = OtherPolicy
	}
	return out
}

// policyMember reads a member of an item of "policies"; false for others.
func (p *parser) policyMember(name string, out *Policy) bool {
	switch name {
	case "policy":
		p.which(out)
	case "summary":
		p.summary(out)
	case "failure-details":
		p.failureDetails(out)
	default:
		return false
	}
	return true
}

func (p *parser) which(out *Policy) {
	typed, named := false, false
	out.Type = OtherPolicy
	p.members(func(name string) bool {
		switch name {
		case "policy-type":
			typed = true
			out.Type = p.policyType()
		case "policy-domain":
			out.Domain, named = p.domain()
		case "policy-string":
			out.Strings = p.texts()
		case "mx-host":
			out.MXHosts = p.texts()
		default:
			return false
		}
		return true
	})
	if !typed {
		p.note(NoteAbsent, "it has no policy-type; it counts as %q", OtherPolicy)
	}
	if !named {
		p.note(NoteAbsent, "it has no policy-domain")
	}
}

func (p *parser) summary(out *Policy) {
	p.members(func(name string) bool {
		switch name {
		case "total-successful-session-count":
			out.Successful = p.count()
		case "total-failure-session-count":
			out.Failed = p.count()
		default:
			return false
		}
		return true
	})
}

// failureDetails: absent, null and [] all mean none.
func (p *parser) failureDetails(out *Policy) {
	p.details -= len(out.Details)
	out.Details = nil
	p.items("an object", func(i int) bool {
		if p.s.peek() != '{' {
			p.wrong("an object", p.s.skip())
			return true
		}
		if p.details >= p.limits.Details {
			if p.s.skip(); p.details == p.limits.Details {
				p.note(NoteTooMany, "more than %d details were left out", p.limits.Details)
				p.details++ // noted
			}
			return true
		}
		p.details++
		out.Details = append(out.Details, p.detail())
		return true
	})
}

func (p *parser) detail() Detail {
	out := Detail{Result: OtherResult}
	typed := false
	p.members(func(name string) bool {
		switch name {
		case "result-type":
			typed = true
			out.Result = p.resultType()
		case "sending-mta-ip":
			out.SendingIP = p.address()
		case "receiving-ip":
			out.ReceivingIP = p.address()
		case "receiving-mx-hostname":
			out.ReceivingMX = p.textOr("")
		case "receiving-mx-helo":
			out.ReceivingHELO = p.textOr("")
		case "failed-session-count":
			out.Failed = p.count()
		case "additional-information":
			out.Information = p.textOr("")
		case "failure-reason-code":
			out.Reason = p.textOr("")
		default:
			return false
		}
		return true
	})
	if !typed {
		p.note(NoteAbsent, "it has no result-type; it counts as %q", OtherResult)
	}
	return out
}

// members reads an object. member is called at each value with the name as RFC 8460 spells it, and returns false, with nothing
// consumed, for names that it does not know: those are skipped without a word, for extensions may come (RFC 8460 section 4.5).
func (p *parser) members(member func(name string) bool) {
	if p.s.peek() != '{' {
		p.wrong("an object", p.s.skip())
		return
	}
	var room [8]string
	seen := room[:0]
	p.s.object(func(name string) {
		proper := properName(name)
		p.at(proper, func() {
			start := p.s.pos
			if !member(proper) {
				if p.s.pos == start {
					p.s.skip()
				}
				return
			}
			if proper != name {
				p.note(NoteName, "it was spelt %s", quote(name))
			}
			if slices.Contains(seen, proper) {
				p.note(NoteDuplicate, "it stands twice; the last counts")
				return
			}
			seen = append(seen, proper)
		})
	})
}

// items reads an array; null is none, and one value of the items' kind is an array of it.
func (p *parser) items(kind string, item func(i int) bool) {
	one := map[byte]string{'{': "an object", '"': "a string"}[p.s.peek()]
	switch {
	case p.s.peek() == '[':
		p.s.array(func(i int) {
			p.at(strconv.Itoa(i), func() { item(i) })
		})
	case one == kind:
		p.at("0", func() { item(0) })
	default:
		p.wrong("an array", p.s.skip())
	}
}

// wrong notes a value of another type, unless it is null, which is as good as absent.
func (p *parser) wrong(want, got string) {
	if got != "null" && p.s.err == nil {
		p.note(NoteType, "%s should stand here, not %s; it was left out", want, got)
	}
}
