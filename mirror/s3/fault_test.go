package s3_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/s3"
)

var proof = mirror.Object{Path: "release/1.tlog-proof", Data: []byte("the proof of release 1")}

// puts decides about PUT requests by their number, from 1, and lets everything else pass.
func puts(decide func(n int) act) func(*http.Request) act {
	n := 0
	return func(r *http.Request) act {
		if r.Method != http.MethodPut {
			return pass
		}
		n++
		return decide(n)
	}
}

// always is for faults that the SDK's retries meet again.
func always(a act) func(*http.Request) act { return puts(func(int) act { return a }) }

func TestWriteWhoseAnswerIsLost(t *testing.T) {
	_, at := gateway(t)
	committed := func(status int, code string) act { return act{forward: true, answer: status, code: code} }
	vanished := func(status int, code string) act { return act{answer: status, code: code} }
	for i, c := range []struct {
		name    string
		decide  func(*http.Request) act
		unknown bool
	}{
		{"stored, then 500", always(committed(500, "InternalError")), false},
		{"stored, then 503", always(committed(503, "SlowDown")), false},
		{"stored, then a reset", always(act{forward: true, answer: reset}), false},
		{"stored, then 409", always(committed(409, "ConditionalRequestConflict")), false},
		{"stored, then 412 for the retry", puts(func(n int) act {
			if n == 1 {
				return committed(500, "InternalError")
			}
			return pass
		}), false},
		{"lost once", puts(func(n int) act {
			if n == 1 {
				return act{answer: reset}
			}
			return pass
		}), false},
		{"409 once, nothing stored", puts(func(n int) act {
			if n == 1 {
				return vanished(409, "ConditionalRequestConflict")
			}
			return pass
		}), false},
		{"not stored, 500", always(vanished(500, "InternalError")), true},
		{"not stored, reset", always(act{answer: reset}), true},
		{"not stored, 412", always(vanished(412, "PreconditionFailed")), true},
		{"not stored, 409 for ever", always(vanished(409, "ConditionalRequestConflict")), true},
		{"not stored, 200", always(act{answer: 200}), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain := at(fmt.Sprintf("list%d", i))
			o, count := through(t, plain, c.decide)
			err := open(t, o).Create(t.Context(), proof)
			if c.unknown != errors.Is(err, s3.ErrUnknown) || !c.unknown && err != nil {
				t.Errorf("create: %v, want unknown: %v", err, c.unknown)
			}
			if mirror.IsAbsent(err) || errors.Is(err, mirror.ErrConflict) {
				t.Errorf("create: %v says more than it knows", err)
			}
			if n := count(http.MethodPut); n > 9 {
				t.Errorf("%d attempts", n)
			}
			_, err = open(t, plain).Get(t.Context(), proof.Path, 100)
			if c.unknown != mirror.IsAbsent(err) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// Somebody else's object is there, or comes between our look and our write; whatever the answer, it stays and is told.
func TestOtherBytesConflictWhateverTheAnswer(t *testing.T) {
	_, at := gateway(t)
	other := mirror.Object{Path: proof.Path, Data: []byte("the proof of another release 1")}
	for i, c := range []struct {
		name  string
		after act // what our write meets, once the other's object is there
	}{
		{"412", pass},
		{"500", act{answer: 500, code: "InternalError"}},
		{"a reset", act{answer: reset}},
		{"200 from a store that lies", act{answer: 200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain := at(fmt.Sprintf("conflict%d", i))
			rival := open(t, plain)
			o, _ := through(t, plain, puts(func(n int) act {
				if n == 1 {
					put(t, rival, other)
				}
				return c.after
			}))
			if err := open(t, o).Create(t.Context(), proof); !errors.Is(err, mirror.ErrConflict) {
				t.Errorf("create: %v, want ErrConflict", err)
			}
			if got := get(t, rival, proof.Path); got != string(other.Data) {
				t.Errorf("the store holds %q", got)
			}
		})
	}
}

// Some stores ignore If-None-Match on writes, some refuse it. What was there first stays all the same.
func TestStoresWithoutConditions(t *testing.T) {
	_, at := gateway(t)
	for name, decide := range map[string]func(*http.Request) act{
		"refused": func(r *http.Request) act {
			if r.Header.Get("If-None-Match") != "" {
				return act{answer: 501, code: "NotImplemented"}
			}
			return pass
		},
		"refused as a bad request": func(r *http.Request) act {
			if r.Header.Get("If-None-Match") != "" {
				return act{answer: 400, code: "NotImplemented"}
			}
			return pass
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, count := through(t, at(strings.ReplaceAll(name, " ", "-")), decide)
			s := open(t, o)
			for i := range 4 {
				o := mirror.Object{Path: fmt.Sprintf("trust/%d", i), Data: []byte("one")}
				if err := s.Create(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				o.Data = []byte("two")
				if err := s.Create(t.Context(), o); !errors.Is(err, mirror.ErrConflict) {
					t.Errorf("create: %v, want ErrConflict", err)
				}
				if got := get(t, s, o.Path); got != "one" {
					t.Errorf("%s holds %q", o.Path, got)
				}
			}
			if n := count(http.MethodPut); n > 4+3 {
				t.Errorf("%d PUTs for four objects: the store is asked again and again", n)
			}
		})
	}
}

// A store that ignores If-None-Match would replace what is there: nothing may be sent to it then.
func TestStoreThatIgnoresConditions(t *testing.T) {
	_, at := gateway(t)
	plain := at("ignores")
	overwrite := open(t, plain)
	o, count := through(t, plain, puts(func(int) act {
		put(t, overwrite, proof)
		return act{answer: 200}
	}))
	put(t, open(t, plain), mirror.Object{Path: proof.Path, Data: []byte("older")})
	if err := open(t, o).Create(t.Context(), proof); !errors.Is(err, mirror.ErrConflict) {
		t.Errorf("create: %v, want ErrConflict", err)
	}
	if got := get(t, overwrite, proof.Path); got != "older" || count(http.MethodPut) != 0 {
		t.Errorf("after %d PUTs the store holds %q", count(http.MethodPut), got)
	}
}

// A store lists in an order of its own, and names keys that were not asked for or that no mirror has.
func TestDisorderlyListing(t *testing.T) {
	body := "<ListBucketResult><IsTruncated>false</IsTruncated>"
	for _, key := range []string{"list/b", "list/a/b", "other/x", "list/a.b", "list/", "list/../up", "list/b", "list/a b"} {
		body += "<Contents><Key>" + key + "</Key></Contents>"
	}
	body += "</ListBucketResult>"
	s := open(t, answering(t, act{answer: 200, body: body, header: map[string]string{"Content-Type": "application/xml"}}))
	var got []string
	for path, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, path)
	}
	if want := []string{"a.b", "a/b", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPutWhoseAnswerIsLost(t *testing.T) {
	_, at := gateway(t)
	for i, c := range []struct {
		name   string
		decide func(*http.Request) act
		want   error
	}{
		{"stored, then 500", always(act{forward: true, answer: 500, code: "InternalError"}), nil},
		{"stored, then a reset", always(act{forward: true, answer: reset}), nil},
		{"not stored, 500", always(act{answer: 500, code: "InternalError"}), s3.ErrUnknown},
		{"not stored, reset", always(act{answer: reset}), s3.ErrUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain := at(fmt.Sprintf("put%d", i))
			put(t, open(t, plain), mirror.Object{Path: "checkpoint", Data: []byte("old")})
			o, _ := through(t, plain, c.decide)
			err := open(t, o).Put(t.Context(), mirror.Object{Path: "checkpoint", Data: []byte("new")})
			if !errors.Is(err, c.want) {
				t.Errorf("put: %v, want %v", err, c.want)
			}
		})
	}
}

// A refusal is certain, and no reason to try again or to call the outcome unknown.
func TestRefusedWritesAreCertain(t *testing.T) {
	_, at := gateway(t)
	o, count := through(t, at("refused"), always(act{answer: 403, code: "AccessDenied"}))
	s := open(t, o)
	for act, err := range map[string]error{
		"put":    s.Put(t.Context(), proof),
		"create": s.Create(t.Context(), proof),
	} {
		if err == nil || errors.Is(err, s3.ErrUnknown) || mirror.IsAbsent(err) {
			t.Errorf("%s: %v", act, err)
		}
	}
	if n := count(http.MethodPut); n != 2 {
		t.Errorf("%d attempts, want one each", n)
	}
}

func TestAbsentAndUnknownAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		absent bool
	}{
		{404, "NoSuchKey", true}, {404, "", true}, {410, "", true}, {403, "AccessDenied", true}, {403, "", true},
		{404, "NoSuchBucket", false}, {403, "InvalidAccessKeyId", false}, {403, "SignatureDoesNotMatch", false},
		{403, "ExpiredToken", false}, {403, "RequestTimeTooSkewed", false}, {400, "BadRequest", false},
		{301, "PermanentRedirect", false}, {304, "", false}, {501, "NotImplemented", false},
	} {
		_, err := open(t, answering(t, act{answer: c.status, code: c.code})).Get(t.Context(), "checkpoint", 100)
		if err == nil || mirror.IsAbsent(err) != c.absent {
			t.Errorf("%d %s: %v, want absent: %v", c.status, c.code, err, c.absent)
		}
	}
}

// The credentials are wrong: a mirror that is full must not look empty.
func TestWrongKeyIsNotAnEmptyMirror(t *testing.T) {
	g, at := gateway(t)
	put(t, open(t, at("list")), proof)
	g.SecretKey = "wrong"
	s := open(t, at("list"))
	if data, err := s.Get(t.Context(), proof.Path, 100); err == nil || mirror.IsAbsent(err) {
		t.Errorf("get: %q, %v", data, err)
	}
	for path, err := range s.List(t.Context(), "") {
		if err == nil {
			t.Errorf("listed %q", path)
		}
	}
}

func TestHostileBodies(t *testing.T) {
	encoded := map[string]string{"Content-Encoding": "gzip"}
	leaf := string(zipped(t, []byte("leaf")))
	for _, c := range []struct {
		name   string
		answer act
		want   string
	}{
		{"honest", act{header: encoded, body: leaf}, "leaf"},
		{"gzip and a trace of its upload", act{header: map[string]string{"Content-Encoding": "aws-chunked,gzip"},
			body: leaf}, "leaf"},
		{"trailing garbage", act{header: encoded, body: leaf + "x"}, ""},
		{"second member", act{header: encoded, body: leaf + leaf}, ""},
		{"cut short", act{header: encoded, body: leaf[:len(leaf)-1]}, ""},
		{"wrong checksum", act{header: encoded, body: leaf[:len(leaf)-8] + "xxxxyyyy"}, ""},
		{"no gzip", act{header: encoded, body: "leaf"}, ""},
		{"bomb", act{header: encoded, body: string(zipped(t, make([]byte, 10<<20)))}, ""},
		{"endless header", act{header: encoded, body: leaf[:3] + "\x08" + leaf[4:10] + strings.Repeat("n", 1<<20)}, ""},
		{"encoded twice", act{header: map[string]string{"Content-Encoding": "gzip, gzip"}, body: leaf}, ""},
		{"unknown encoding", act{header: map[string]string{"Content-Encoding": "br"}, body: leaf}, ""},
		{"shorter than it says", act{header: map[string]string{"Content-Length": "9"}, body: "leaf"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.answer.answer = 200
			data, err := open(t, answering(t, c.answer)).Get(t.Context(), "tile/entries/000", 1000)
			if string(data) != c.want || (err == nil) != (c.want != "") || mirror.IsAbsent(err) {
				t.Errorf("got %q, %v; want %q", data, err, c.want)
			}
		})
	}
}

// A store that accepts the connection and says nothing, or stops in the middle, costs a bounded time, however large the
// object may be. Half an error document is no word about the object: it may be about the bucket.
func TestSilentStore(t *testing.T) {
	for name, head := range map[string]string{
		"no answer":   "",
		"half a body": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"half a 404":  "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n<Error><Code>NoSuch",
		"half a 403":  "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n<Error><Code>Access",
	} {
		t.Run(name, func(t *testing.T) {
			o := options
			o.Endpoint = silent(t, head)
			o.Patience = 50 * time.Millisecond
			start := time.Now()
			data, err := open(t, o).Get(t.Context(), "checkpoint", 1<<30)
			if err == nil || mirror.IsAbsent(err) {
				t.Errorf("got %q, %v", data, err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}
