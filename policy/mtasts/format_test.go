package mtasts

import (
	"reflect"
	"testing"
)

// What is written reads back the same, to the letter of the grammar; the id follows the text.
func TestTextReadsBack(t *testing.T) {
	ids := map[string]string{}
	for _, text := range []string{
		"version: STSv1\r\nmode: enforce\r\nmx: *.a.example\r\nmx: mx.b.example\r\nmax_age: 604800\r\n",
		"version: STSv1\r\nmode: testing\r\nmx: mx.b.example\r\nmax_age: 604800\r\n",
		"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n",
	} {
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Text()); got != text {
			t.Errorf("%q became %q", text, got)
		}
		again, err := ParsePolicy(p.Text())
		if err != nil || !reflect.DeepEqual(again, p) || !again.Strict() {
			t.Errorf("%q: %+v, %v", text, again, err)
		}
		r, err := ParseRecord([]string{NewRecord([]byte(text)).String()})
		if err != nil || r != NewRecord([]byte(text)) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
		if other, twice := ids[r.ID]; twice {
			t.Errorf("%q and %q have one id", text, other)
		}
		ids[r.ID] = text
	}
	// A policy that was read leniently is written strictly.
	p, err := ParsePolicy([]byte("version: STSv1\n\nmode: enforce\nmx: MX.a.example\nmx: 192.0.2.1\nmax_age: 86400"))
	if err != nil || p.Strict() {
		t.Fatal(p, err)
	}
	if again, err := ParsePolicy(p.Text()); err != nil || !again.Strict() || len(again.MXs) != 1 {
		t.Errorf("%q: %+v, %v", p.Text(), again, err)
	}
}
