package audit

import (
	"context"
	"fmt"
	"mime"
	"strconv"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
)

// get reads an object and, where the mirror has headers, compares them: they are part of the format.
func (r *run) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	r.requests.Add(1)
	h, ok := r.Mirror.(mirror.HeaderReader)
	if !ok {
		return r.Mirror.Get(ctx, path, limit)
	}
	data, headers, err := h.GetHeaders(ctx, path, limit)
	if err == nil {
		r.checkHeaders(path, headers)
	}
	return data, err
}

// headerFault is what is wrong with the headers of many objects alike.
type headerFault struct{ code, detail string }

// faultyObjects are those objects: the first by name, and how many there are.
type faultyObjects struct {
	first string
	count int
}

func (r *run) checkHeaders(path string, got mirror.Headers) {
	want := mirror.NewObject(path, nil)
	var faults []headerFault
	if !sameType(got.ContentType, want.ContentType) {
		faults = append(faults, headerFault{ContentType, fmt.Sprintf("%q where %q belongs", got.ContentType, want.ContentType)})
	}
	if code := judgeCache(path, got.CacheControl); code != "" {
		faults = append(faults, headerFault{code, fmt.Sprintf("%q where %q belongs", got.CacheControl, want.CacheControl)})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range faults {
		o := r.headers[f]
		if o.count == 0 || path < o.first {
			o.first = path
		}
		o.count++
		r.headers[f] = o
	}
}

// findHeaders makes one finding of each fault.
func (r *run) findHeaders() {
	for f, o := range r.headers {
		detail := f.detail
		if o.count > 1 {
			detail += fmt.Sprintf(", and so for %d objects", o.count)
		}
		r.find(f.code, o.first, detail)
	}
}

func sameType(a, b string) bool {
	x, p, err1 := mime.ParseMediaType(a)
	y, q, err2 := mime.ParseMediaType(b)
	return err1 == nil && err2 == nil && x == y && strings.EqualFold(p["charset"], q["charset"])
}

// judgeCache says what is wrong with an object's Cache-Control (RFC 9111 section 5.2.2): "" for nothing. A pointer that
// caches may keep makes clients stale and hides a fork from monitors. Other mutable objects may be kept for a minute,
// as long as the format says; immutable ones for ever, and a mirror that does not say so only has more to send.
func judgeCache(path, header string) string {
	age, fresh := maxAge(header)
	bad := !fresh && age != 0 // nothing said leaves it to the cache
	switch {
	case path == mirror.PointerPath || path == mirror.CheckpointPath:
		if bad && age > 0 {
			return PointerCached
		}
	case mirror.IsMutable(path):
		wanted, _ := maxAge(mirror.NewObject(path, nil).CacheControl)
		bad = !fresh && (age < 0 || age > wanted)
	default:
		bad = fresh || !strings.Contains(strings.ToLower(header), "immutable")
	}
	if bad {
		return CacheControl
	}
	return ""
}

// maxAge reads a Cache-Control header: for how many seconds a cache may keep the object without asking, -1 where it does
// not say; fresh means that it must always ask, or keep nothing.
func maxAge(header string) (age int64, fresh bool) {
	age = -1
	for d := range strings.SplitSeq(strings.ToLower(header), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
		switch {
		case name == "no-cache", name == "no-store":
			fresh = true
		case (name == "max-age" || name == "s-maxage") && err == nil:
			age = max(age, n)
		}
	}
	return age, fresh
}
