package trial

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
)

// filePermission keeps others on this machine from reading whom it writes to.
const filePermission = 0o640

// maxBook caps the prober's file, in bytes: 5,000 domains of 8 hosts.
const maxBook = 32 << 20

// book is the prober's file.
type book struct {
	Visits []Visit `json:"visits"`
}

// Save writes what is known, so that a restart does not begin anew.
func (p *Prober) Save(path string) error {
	data, err := json.MarshalIndent(book{p.Visits()}, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), filePermission)
}

// Restore reads what Save wrote.
func (p *Prober) Restore(path string) error {
	visits, err := ReadVisits(path)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.domains == nil {
		p.domains = make(map[policy.Domain]*Visit)
	}
	for _, v := range visits[:min(len(visits), maxDomains)] {
		d, err := policy.ParseDomain(v.Domain)
		if err != nil {
			continue
		}
		p.domains[d] = &v
		for _, h := range v.Hosts {
			if host, err := policy.ParseDomain(h.Host); err == nil && h.Code != CodeMX {
				p.remember(host, h)
			}
		}
	}
	return nil
}

// ReadVisits reads a prober's file, by domain; without a file there are none.
func ReadVisits(path string) ([]Visit, error) {
	var b book
	err := readJSON(path, maxBook, &b)
	return b.Visits, err
}

// readJSON leaves into as it is when there is no file.
func readJSON(path string, limit int64, into any) error {
	f, err := durable.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
