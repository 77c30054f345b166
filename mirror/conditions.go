package mirror

import "fmt"

// Conditions says what a store makes of conditional writes, as a probe found it. The zero value holds nothing.
type Conditions struct {
	CreateOnly bool `json:"create_only"` // If-None-Match: * keeps an object that is there
	IfMatch    bool `json:"if_match"`    // If-Match refuses a tag that the object has no more, and takes the one it has
	Rounds     int  `json:"rounds"`      // in which two writers raced, half to create, half to replace
	Twice      int  `json:"twice"`       // rounds in which both were told that they had won
}

// Hold reports whether the store decides between two writers.
func (c Conditions) Hold() bool { return c.CreateOnly && c.IfMatch && c.Rounds > 0 && c.Twice == 0 }

// String is the verdict in one line.
func (c Conditions) String() string {
	switch {
	case c.Hold():
		return fmt.Sprintf("conditional writes hold (%d races, one winner each)", c.Rounds)
	case !c.CreateOnly:
		return "conditional writes do NOT hold: If-None-Match is ignored"
	case !c.IfMatch:
		return "conditional writes do NOT hold: If-Match is ignored or not known"
	}
	return fmt.Sprintf("conditional writes do NOT hold: races: two winners in %d of %d", c.Twice, c.Rounds)
}
