package probe

import (
	"context"
	"net/netip"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Sample is a further session with an address; it has no samples itself, else it is a Session cut short.
type Sample struct {
	Clear    string  `json:"clear,omitempty"`
	Detail   string  `json:"detail,omitempty"`
	EHLO     *Reply  `json:"ehlo,omitempty"`
	Failure  Failure `json:"failure,omitempty"`
	Greeting *Reply  `json:"greeting,omitempty"`
	Kind     string  `json:"kind"` // "again", "no-sni"
	Offer    string  `json:"offer,omitempty"`
	Stage    Stage   `json:"stage"`
	STARTTLS *Reply  `json:"starttls,omitempty"`
	TLS      *TLS    `json:"tls,omitempty"`
}

// session is the sample as if it had been the first.
func (x Sample) session(address string) Session {
	return Session{
		Address: address, Clear: x.Clear, Detail: x.Detail, EHLO: x.EHLO, Failure: x.Failure, Greeting: x.Greeting,
		Offer: x.Offer, Stage: x.Stage, STARTTLS: x.STARTTLS, TLS: x.TLS,
	}
}

// How a further session differs from the first.
const (
	sampleAgain = "again"  // not at all
	sampleBare  = "no-sni" // it asks for no name in the handshake
)

const (
	keptSample = 80 // bytes of each text of a further session, escaped
	// maxSamples is how many further sessions one address can have: turned away, no SNI, twice again.
	maxSamples = 4
)

// sample visits the server at addr until it is clear what it shows to those who ask for name. Whoever is turned away
// comes back once, later. What speaks against a server is looked at twice, since behind one address there may be many
// machines; what speaks for it is compared with a session that asks for no name (one for an address, whatever its names),
// which shows such machines as well, and who must know the name to get the right certificate. The sessions after the
// first are in Session.Samples. With Options.Samples 1 the first one is all, unless it was turned away.
func (p *Prober) sample(ctx context.Context, addr netip.Addr, name policy.Domain) Session {
	s := p.call(ctx, addr, name)
	if turnedAway(s) {
		s = p.comeBack(ctx, addr, name, s)
	}
	if p.opts.Samples == 1 || ctx.Err() != nil {
		return s
	}
	switch p.standing(s, name) {
	case hostBad:
		p.addSample(&s, p.call(ctx, addr, name), sampleAgain)
	case hostGood:
		p.compare(ctx, addr, name, &s)
	}
	return s
}

// turnedAway reports whether the server did not want to talk now (RFC 5321 section 4.2.1) or hung up.
func turnedAway(s Session) bool {
	for _, r := range []*Reply{s.Greeting, s.EHLO, s.STARTTLS} {
		if r != nil && r.Code/100 == 4 {
			return true
		}
	}
	return s.Failure == FailClosed
}

// comeBack waits and calls once more. The session that went on is the one that counts.
func (p *Prober) comeBack(ctx context.Context, addr netip.Addr, name policy.Domain, first Session) Session {
	limit := p.limitOf(addr)
	if limit.clock.Sleep(ctx, limit.backoff) != nil {
		return first
	}
	second := p.call(ctx, addr, name)
	if turnedAway(second) {
		first, second = second, first
	}
	p.addSample(&second, first, sampleAgain)
	return second
}

// compare looks at a good server without asking for its name.
func (p *Prober) compare(ctx context.Context, addr netip.Addr, name policy.Domain, s *Session) {
	found, err := p.bare.do(ctx, addr, func() nameless {
		s, names := p.talk(ctx, addr, policy.Domain{}, name)
		return nameless{s, names}
	})
	if err != nil {
		return
	}
	bare := found.lookedAtBy(name)
	p.addSample(s, bare, sampleBare)
	if p.standing(bare, name) != hostBad || !tlsMatter(bare.Stage) {
		return
	}
	// It may be the name that makes the difference, or the machine that answered. Two calls tell, even where two
	// machines take turns.
	for range 2 {
		p.addSample(s, p.call(ctx, addr, name), sampleAgain)
	}
}

// tlsMatter reports whether a session that came so far can depend on SNI.
func tlsMatter(s Stage) bool { return s == StageTLS || s == StageDone }

// standing is what one session says about a server by itself.
func (p *Prober) standing(s Session, name policy.Domain) hostState {
	j := &judge{now: p.opts.Clock.Now()}
	return j.session(Host{Name: name.String()}, s)
}

// call holds one session with the host name at addr, as the manners allow.
func (p *Prober) call(ctx context.Context, addr netip.Addr, name policy.Domain) Session {
	s, _ := p.talk(ctx, addr, name, name)
	return s
}

// talk is call for a session that asks for sni, which may be zero, while it counts as a visit to host. It also returns
// the names in the server's certificate.
func (p *Prober) talk(ctx context.Context, addr netip.Addr, sni, host policy.Domain) (Session, []string) {
	leave, err := p.limitOf(addr).enter(ctx, addr, host)
	if err != nil {
		return Session{}, nil // ctx has ended: nobody looks at this
	}
	defer leave()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return Session{}, nil
	}
	return p.visitor.visit(ctx, addr, sni)
}

func (p *Prober) limitOf(addr netip.Addr) *limiter {
	if addr.IsLoopback() {
		return p.loopback
	}
	return p.limit
}

func (p *Prober) addSample(to *Session, s Session, how string) {
	if s.Stage != "" && len(to.Samples) < maxSamples { // else ctx has ended
		to.Samples = append(to.Samples, s.brief(how))
	}
}

// nameless is a session that asked for no name, with the names in the certificate that came all the same.
type nameless struct {
	session Session
	names   []string
}

// lookedAtBy is the session as one who would have asked for name sees it.
func (n nameless) lookedAtBy(name policy.Domain) Session {
	s := n.session
	if s.TLS != nil {
		t := *s.TLS
		t.Match = match(n.names, name)
		s.TLS = &t
	}
	return s
}

// brief is what of a further session goes into the evidence: enough to judge it, and little, since there may be
// hundreds of them on one line.
func (s Session) brief(kind string) Sample {
	x := Sample{
		Clear: cutEscaped(s.Clear, keptSample), Detail: cutEscaped(s.Detail, keptSample), EHLO: s.EHLO.brief(), Failure: s.Failure,
		Greeting: s.Greeting.brief(), Kind: kind, Offer: s.Offer, Stage: s.Stage, STARTTLS: s.STARTTLS.brief(),
	}
	if s.TLS != nil {
		t := *s.TLS
		t.Keys = nil
		t.Chain, t.Names, t.Detail = t.Chain[:min(1, len(t.Chain))], nil, cutEscaped(t.Detail, keptSample)
		if len(s.TLS.Names) > 0 {
			t.Names = []string{cutEscaped(s.TLS.Names[0], keptSample)}
		}
		x.TLS = &t
	}
	return x
}

func (r *Reply) brief() *Reply {
	if r == nil {
		return nil
	}
	b := &Reply{Code: r.Code, Lines: []string{}}
	if len(r.Lines) > 0 {
		b.Lines = append(b.Lines, cutEscaped(r.Lines[0], keptSample))
	}
	return b
}

// cutEscaped cuts escaped text to limit bytes without leaving half an escape.
func cutEscaped(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := s[:limit]
	if i := strings.LastIndexByte(cut, '\\'); i > len(cut)-len(`\xHH`) {
		cut = cut[:i]
	}
	return cut + `\...`
}
