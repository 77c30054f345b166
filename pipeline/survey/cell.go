package survey

import (
	"slices"
	"strings"
)

// maxClasses is the most classes that a measure has.
const maxClasses = 8

// places are a domain's classes, by their places in each measure.
type places [measureCount]uint8

// cell is a row while it is counted.
type cell struct {
	domains uint32
	classes [measureCount][maxClasses]uint32
	codes   []codeCount // sorted
}

type codeCount struct {
	code  string
	count uint32
}

func (c *cell) add(at places, codes []string) {
	c.domains++
	for i, k := range at {
		c.classes[i][k]++
	}
	for _, code := range codes {
		c.addCode(code, 1)
	}
}

func (c *cell) addCode(code string, n uint32) {
	i, found := slices.BinarySearchFunc(c.codes, code, func(e codeCount, code string) int { return strings.Compare(e.code, code) })
	if !found {
		c.codes = slices.Insert(c.codes, i, codeCount{code, 0})
	}
	c.codes[i].count += n
}

// merge adds another cell.
func (c *cell) merge(other *cell) {
	c.domains += other.domains
	for i := range c.classes {
		for k := range c.classes[i] {
			c.classes[i][k] += other.classes[i][k]
		}
	}
	for _, e := range other.codes {
		c.addCode(e.code, e.count)
	}
}
