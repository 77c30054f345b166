package socketmap

import "sync/atomic"

// Metrics count answers. Its zero value is ready, a nil one counts nothing. There are no domains in it: who exchanges mail
// with whom is nobody's business.
type Metrics struct {
	off, override, dane, sts, list, none atomic.Int64
	downgrades                           atomic.Int64
}

func (m *Metrics) counter(s Source) *atomic.Int64 {
	switch s {
	case SourceOff:
		return &m.off
	case SourceOverride:
		return &m.override
	case SourceDANE:
		return &m.dane
	case SourceSTS:
		return &m.sts
	case SourceList:
		return &m.list
	}
	return &m.none
}

func (m *Metrics) count(s Source) {
	if m != nil {
		m.counter(s).Add(1)
	}
}

func (m *Metrics) downgrade() {
	if m != nil {
		m.downgrades.Add(1)
	}
}

// Answers is how many answers came from s.
func (m *Metrics) Answers(s Source) int64 { return m.counter(s).Load() }

// Downgrades is how many answers came with a warning of a possible downgrade.
func (m *Metrics) Downgrades() int64 { return m.downgrades.Load() }
