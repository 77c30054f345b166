// Package exposition writes metrics in the text format of Prometheus, version 0.0.4.
//
// The format is a page long and does not change; the client library of Prometheus would bring Protocol Buffers along, and
// a quarter more of a program that runs on mail servers. Its parser and its linter judge what is written here, in tests.
//
//	# HELP starttls_policy_list_domains Domains in force.
//	# TYPE starttls_policy_list_domains gauge
//	starttls_policy_list_domains{list="example"} 926
package exposition

import (
	"slices"
	"strconv"
	"strings"
)

// ContentType is that of the text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Kind is what a metric's values are.
type Kind string

const (
	Counter Kind = "counter" // only grows, but for a restart
	Gauge   Kind = "gauge"   // goes up and down
)

// Metric describes one metric.
type Metric struct {
	Name   string // [a-z_:][a-z0-9_:]*
	Kind   Kind
	Labels []string // names of the labels, in the order of Sample.Labels
	Help   string   // one sentence
}

// Sample is a value with the values of the metric's labels.
type Sample struct {
	Labels []string
	Value  float64
}

// Append appends a metric with its samples; nothing for none.
func Append(b []byte, m Metric, samples []Sample) []byte {
	if len(samples) == 0 {
		return b
	}
	b = append(b, "# HELP "+m.Name+" "+helpEscaper.Replace(m.Help)+"\n# TYPE "+m.Name+" "+string(m.Kind)+"\n"...)
	for _, s := range samples {
		b = append(b, m.Name...)
		for i, name := range m.Labels {
			b = append(b, "{,"[min(i, 1)])
			b = append(b, name+`="`+labelEscaper.Replace(strings.ToValidUTF8(s.Labels[i], "\uFFFD"))+`"`...)
		}
		if len(m.Labels) > 0 {
			b = append(b, '}')
		}
		b = append(b, ' ')
		b = strconv.AppendFloat(b, s.Value, 'g', -1, 64)
		b = append(b, '\n')
	}
	return b
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// Set collects the samples of a table of metrics.
type Set struct {
	table   []Metric
	samples [][]Sample
}

// NewSet is a set without samples. The table stays the caller's.
func NewSet(table []Metric) *Set { return &Set{table, make([][]Sample, len(table))} }

// Add adds a sample. A metric that the table does not have, or with other labels, is a mistake in the program: it panics.
func (s *Set) Add(name string, value float64, labels ...string) {
	i := slices.IndexFunc(s.table, func(m Metric) bool { return m.Name == name })
	if i < 0 || len(s.table[i].Labels) != len(labels) {
		panic("exposition: no metric " + name + " with such labels")
	}
	s.samples[i] = append(s.samples[i], Sample{labels, value})
}

// Text is the set in the order of its table.
func (s *Set) Text() []byte {
	var b []byte
	for i, m := range s.table {
		b = Append(b, m, s.samples[i])
	}
	return b
}
