package visitors

import (
	"strconv"
	"testing"
	"time"
)

// A name has its share an hour, and others theirs; what is used comes back with time, and a clock that goes back takes nobody's.
func TestLimiter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := NewLimiter(6)
	for i := range 6 {
		if wait, ok := l.Allow("192.0.2.1", now); !ok || wait != 0 {
			t.Fatalf("request %d has to wait %v", i, wait)
		}
	}
	if wait, ok := l.Allow("192.0.2.1", now); ok || wait <= 9*time.Minute || wait > 10*time.Minute {
		t.Errorf("a seventh: %v, %v", wait, ok)
	}
	if _, ok := l.Allow("192.0.2.2", now); !ok {
		t.Error("another has to wait")
	}
	if _, ok := l.Allow("192.0.2.1", now.Add(9*time.Minute)); ok {
		t.Error("one comes back too early")
	}
	if _, ok := l.Allow("192.0.2.1", now.Add(11*time.Minute)); !ok {
		t.Error("none comes back")
	}
	if _, ok := l.Allow("192.0.2.2", now.Add(-24*time.Hour)); !ok {
		t.Error("a clock that was set back locks out")
	}
	for i := range 1000 {
		l.Allow(strconv.Itoa(i), now.Add(11*time.Minute))
	}
	if _, ok := l.Allow("192.0.2.1", now.Add(11*time.Minute)); ok {
		t.Error("a crowd of others brings back what is used")
	}
}

func TestSource(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:25": "192.0.2.1", "192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"[2001:db8:1:2:3::4]:25": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"@": "", "": "", "mx.example": "", "192.0.2.1, 192.0.2.2": "",
	} {
		if got := Source(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
