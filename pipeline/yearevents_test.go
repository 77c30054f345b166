package pipeline_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// happen makes an event of the world true, for one vantage or for all.
func (y *year) happen(e yearEvent) error {
	var err error
	for _, v := range y.vantages {
		if e.only == "" || e.only == v.name {
			err = errors.Join(err, y.show(v, e))
		}
	}
	if e.only == "" {
		y.note(e)
	}
	return err
}

func (y *year) show(v *yearVantage, e yearEvent) error {
	switch e.verb {
	case "opens", "mx":
		return v.point(e.domain, e.args)
	case "sts":
		return v.serve(e.domain, e.args[0], e.args[1:])
	case "txt":
		return v.prove(e.domain, y.proofText(e))
	case "vanishes":
		return v.vanish(e.domain)
	case "breaks", "mends":
		b := lab.Good
		if e.verb == "breaks" {
			b = lab.Behaviour(e.args[0])
		}
		var err error
		for _, host := range v.mx[e.domain] {
			err = errors.Join(err, v.behave(host, b))
		}
		return err
	case "aged":
		defer y.clock.Store(y.now.UnixNano())
		y.clock.Store(y.now.Add(-y.days(e.args[0])).UnixNano()) // the lab's, for as long as it makes them
		return v.renew(e.domain)
	case "renews":
		return v.renew(e.domain)
	case "forgets":
		return nil
	}
	return fmt.Errorf("nobody knows %q", e.verb)
}

// days reads a number of them.
func (y *year) days(word string) time.Duration {
	y.t.Helper()
	hours, err := time.ParseDuration(word + "h")
	y.must(err)
	return 24 * hours
}

func (v *yearVantage) renew(domain string) (err error) {
	for _, host := range v.mx[domain] {
		err = errors.Join(err, v.lab.Renew(host), v.settle(host))
	}
	return err
}

// proofText is the record of a "txt" event.
func (y *year) proofText(e yearEvent) string {
	switch e.args[0] {
	case "off":
		return ""
	case "again":
		return y.proofs[e.domain]
	}
	days, err := strconv.Atoi(e.args[1])
	if err != nil {
		y.t.Fatalf("scenario: %v: %v", e, err)
	}
	exp := y.now.AddDate(0, 0, days)
	if kind := e.args[0]; kind == "remove" || kind == "emergency" {
		return proof.Record{Kind: proof.Kind(kind), Expires: exp.Truncate(24*time.Hour).AddDate(0, 0, 1)}.String()
	}
	text := proof.For(*policyOf(y.test, e.args[0], e.args[2:]...), exp).String()
	if y.proofs[e.domain] == "" {
		y.proofs[e.domain] = text
	}
	return text
}

// note keeps an event of the world as the truth.
func (y *year) note(e yearEvent) {
	t := y.truth
	hosts := func(how func(*yearHost)) {
		for _, mx := range t.owner(e.domain, y.now).mx {
			t.changeHost(mx, y.now, how)
		}
	}
	switch e.verb {
	case "opens", "mx":
		t.change(e.domain, y.now, func(o *yearOwner) { o.exists, o.mx = true, e.args })
		for _, mx := range e.args {
			if len(t.hosts[mx]) == 0 {
				t.changeHost(mx, y.now, func(*yearHost) {})
			}
		}
	case "sts":
		t.change(e.domain, y.now, func(o *yearOwner) { o.sts, o.stsMX = strings.TrimPrefix(e.args[0], "off"), e.args[1:] })
	case "txt":
		t.change(e.domain, y.now, func(o *yearOwner) { y.noteProof(o, e) })
	case "vanishes":
		t.change(e.domain, y.now, func(o *yearOwner) { *o = yearOwner{from: o.from} })
	case "breaks":
		hosts(func(h *yearHost) { h.behaviour = lab.Behaviour(e.args[0]) })
	case "mends":
		hosts(func(h *yearHost) { h.behaviour = lab.Good })
	case "forgets":
		y.forgets[e.domain] = true
	case "aged":
		hosts(func(h *yearHost) { h.made = y.now.Add(-y.days(e.args[0])) })
	case "renews":
		y.forgets[e.domain] = false
		hosts(func(h *yearHost) { h.made = y.now })
	}
}

func (y *year) noteProof(o *yearOwner, e yearEvent) {
	o.txt, o.txtMX = "", nil
	switch e.args[0] {
	case "off", "again": // what somebody brings back is nobody's wish
	default:
		days, _ := strconv.Atoi(e.args[1])
		o.txt, o.txtMX, o.exp = e.args[0], e.args[2:], y.now.Truncate(24*time.Hour).AddDate(0, 0, days+1)
	}
}

// renewAll is what all do by themselves who do not forget it.
func (y *year) renewAll() (err error) {
	for domain, all := range y.truth.domains {
		o := all[len(all)-1]
		if o.sts != "" && y.now.Sub(y.web[domain]) >= renewal {
			y.web[domain] = y.now
			for _, v := range y.vantages {
				err = errors.Join(err, v.lab.Renew("mta-sts."+domain))
			}
		}
		for _, mx := range o.mx {
			if h := y.truth.host(mx, y.now); y.now.Sub(h.made) < renewal || y.forgets[domain] {
				continue
			}
			y.truth.changeHost(mx, y.now, func(h *yearHost) { h.made = y.now })
			for _, v := range y.vantages {
				err = errors.Join(err, v.lab.Renew(mx), v.settle(mx))
			}
		}
	}
	for _, v := range y.vantages {
		if y.now.Sub(y.web[canaryName]) >= renewal {
			err = errors.Join(err, v.lab.Renew("mx."+canaryName))
		}
	}
	if y.now.Sub(y.web[canaryName]) >= renewal {
		y.web[canaryName] = y.now
	}
	return err
}
