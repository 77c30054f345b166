package soak

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// dialect is the map that the daemon is asked for: the one whose values tableFile has.
const dialect = "sni"

// daemon answers by a client's list over a socket, and is asked all the time.
type daemon struct {
	book    *book
	decider *socketmap.Decider
	address string

	mu      sync.Mutex // guards what follows
	tables  []answers  // the last ones; tables[0] has the number first
	first   int
	inForce int // number of the newest that is in force for certain; a later one may be
}

// answers are what a table says, domain by domain; a domain without a line is not in it.
type answers map[string]string

// recent is how many tables are remembered: many more than can take turns while a question is answered.
const recent = 64

// newDaemon listens on loopback and answers until ctx ends.
func newDaemon(ctx context.Context, b *book, now func() time.Time) (*daemon, error) {
	d := &daemon{book: b, tables: []answers{{}}}
	log := slog.New(slog.DiscardHandler)
	d.decider = &socketmap.Decider{Now: now, Log: log, Off: func() bool { return false }, Metrics: new(socketmap.Metrics)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.address = l.Addr().String()
	s := &socketmap.Server{Answerer: d.decider, Log: log, Metrics: d.decider.Metrics}
	go s.Serve(ctx, l)
	return d, nil
}

// reload takes the client's list up, as "serve" does. table is what the same client wrote of it: another way from the list to
// what Postfix is told.
func (d *daemon) reload(c *mirror.Client, table []byte) error {
	held, err := socketmap.Load("soak", c)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.tables = append(d.tables, parseTable(table))
	if len(d.tables) > recent {
		d.tables = append(d.tables[:0], d.tables[1:]...)
		d.first++
	}
	newest := d.first + len(d.tables) - 1
	d.mu.Unlock()
	d.decider.SetLists([]socketmap.Held{held})
	d.mu.Lock()
	d.inForce = newest
	d.mu.Unlock()
	return nil
}

// parseTable reads the lines of a Postfix table (postmap(1)): a key, white space, a value.
func parseTable(text []byte) answers {
	a := answers{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			a[key] = strings.TrimSpace(value)
		}
	}
	return a
}

// oldest is the number of the table that is in force for certain.
func (d *daemon) oldest() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inForce
}

// right reports whether a table that has been in force since the one numbered from gives the answer.
func (d *daemon) right(from int, domain string, r socketmap.Reply) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if from < d.first {
		return true // nobody knows any more
	}
	for _, t := range d.tables[from-d.first:] {
		if r.Temp == "" && r.Value == t[domain] {
			return true
		}
	}
	return false
}

// between is what lies between two rounds of questions on one connection, and burst how many are in a round.
const (
	between = 5 * time.Millisecond
	burst   = 4
)

// askedFor is how long an answer may take: trouble with the list never makes mail wait.
const askedFor = 10 * time.Second

// ask asks about domains over a connection of its own until ctx ends.
func (d *daemon) ask(ctx context.Context, rnd *rand.Rand, domains []string) {
	c, err := net.Dial("tcp", d.address)
	if err != nil {
		d.book.wrong(misanswer, "the daemon: %v", err)
		return
	}
	defer c.Close()
	for sleep(ctx, between) {
		for range burst {
			domain := domains[rnd.IntN(len(domains))]
			from := d.oldest()
			c.SetDeadline(time.Now().Add(askedFor))
			r, err := socketmap.Ask(c, dialect, domain)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				d.book.wrong(misanswer, "the daemon gave no answer about %s: %v", domain, err)
				return
			case !d.right(from, domain, r):
				d.book.wrong(misanswer, "the daemon answers %q about %s, which the held list does not say", r, domain)
			}
			d.book.note(func(b *Report) { b.Answers++ })
		}
	}
}
