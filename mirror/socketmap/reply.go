package socketmap

import "strconv"

// Reply is what a map says about a key. The zero value says nothing about it: Postfix asks its next map.
type Reply struct {
	Value string // what smtp_tls_policy_maps would hold; "" for none
	// Temp makes the mail wait, and says why in one line. It is for a failing DANE lookup, which to deliver over would be
	// the downgrade that DANE is there to prevent (RFC 7672 section 2.1.2), and for nothing else: not for a list.
	Temp string
}

// String is the reply as it goes out, without its netstring.
func (r Reply) String() string {
	status, text := r.parts()
	return status + text
}

func (r Reply) parts() (status, text string) {
	switch {
	case r.Temp != "":
		return "TEMP ", r.Temp
	case r.Value != "":
		return "OK ", r.Value
	}
	return "NOTFOUND ", ""
}

// append appends the reply's netstring.
func (r Reply) append(b []byte) []byte {
	status, text := r.parts()
	b = append(strconv.AppendInt(b, int64(len(status)+len(text)), 10), ':')
	return append(append(append(b, status...), text...), ',')
}
