package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// startScriptLab is the command "lab FILE" of scripts: it starts a lab as FILE describes it, line by line, and says where
// it is in RESOLVER, SMTP_PORT, HTTPS_PORT and the file roots.pem.
//
//	host NAME [BEHAVIOUR]             a mail server
//	mx DOMAIN HOST…                   a mail domain
//	sts DOMAIN MODE MAX_AGE MX…       its MTA-STS policy
//	web DOMAIN FAULT                  its policy host misbehaves
//	tlsa HOST U S M [HEX]             a TLSA record, about the server's certificate unless HEX says otherwise
//	secure NAME…                      what the resolver vouches for
//	proof DOMAIN MODE MX…             its owner's proof of control for that entry
//	fault NAME TYPE FAULT             the DNS fails for a name
//	leave DOMAIN                      its owner's wish to be taken off the list
//	record …                          any other record
func startScriptLab(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lab FILE")
	}
	l, err := lab.Start(context.Background(), lab.Options{})
	ts.Check(err)
	ts.Defer(l.Close)
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb != "" {
			ts.Check(furnish(l, verb, rest))
		}
	}
	ts.Setenv("RESOLVER", l.Resolver().String())
	ts.Setenv("SMTP_PORT", strconv.Itoa(l.SMTPPort()))
	ts.Setenv("HTTPS_PORT", strconv.Itoa(l.HTTPSPort()))
	ts.Check(os.WriteFile(ts.MkAbs("roots.pem"), l.RootsPEM(), 0o600))
}

// furnish obeys one line of a lab's description.
func furnish(l *lab.Lab, verb, rest string) error {
	words := strings.Fields(rest)
	words = append(words, make([]string, max(0, 2-len(words)))...)
	switch verb {
	case "host":
		return l.AddHost(lab.Host{Name: words[0], Behaviour: lab.Behaviour(words[1])})
	case "mx":
		return l.AddDomain(lab.Domain{Name: words[0], MX: words[1:]})
	case "sts":
		age, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		return l.SetSTS(words[0], lab.STSPolicy(words[1], age, words[3:]...))
	case "web":
		l.SetWebFault("mta-sts."+words[0], lab.WebFault(words[1]))
		return nil
	case "tlsa":
		return furnishTLSA(l, words)
	case "secure":
		l.SetSecure(true, words...)
		return nil
	case "proof":
		return furnishProof(l, words)
	case "fault":
		return l.SetFault(words[0], words[1], lab.DNSFault(words[2]))
	case "leave":
		r := proof.For(policy.Policy{}, time.Now().AddDate(0, 0, proofDays))
		r.Kind, r.Change = proof.Remove, ""
		return l.AddRecord(fmt.Sprintf("%s.%s 60 IN TXT %q", proof.Name, words[0], r))
	case "record":
		return l.AddRecord(rest)
	}
	return fmt.Errorf("the lab has no %q", verb)
}

func furnishProof(l *lab.Lab, words []string) error {
	mode, err := policy.ParseMode(words[1])
	if err != nil {
		return err
	}
	wanted := policy.Policy{Mode: mode}
	for _, word := range words[2:] {
		m, err := policy.ParseMXPattern(word)
		if err != nil {
			return err
		}
		wanted.MXs = append(wanted.MXs, m)
	}
	record := proof.For(wanted, time.Now().AddDate(0, 0, proofDays))
	return l.AddRecord(fmt.Sprintf("%s.%s 60 IN TXT %q", proof.Name, words[0], record))
}

func furnishTLSA(l *lab.Lab, words []string) error {
	l.SetSecure(true, words[0], l.TLSAName(words[0]))
	if len(words) == 5 {
		return l.AddRecord(l.TLSAName(words[0]) + " 60 IN TLSA " + strings.Join(words[1:], " "))
	}
	var n [3]uint8
	if _, err := fmt.Sscan(strings.Join(words[1:], " "), &n[0], &n[1], &n[2]); err != nil {
		return err
	}
	sent, err := l.Sent(words[0])
	if err != nil {
		return err
	}
	return l.AddRecord(l.TLSA(words[0], n[0], n[1], n[2], sent[0]))
}
