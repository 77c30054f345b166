package mirror

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// bucketWeb answers a client's requests as a public bucket does, out of a world's objects, and counts what goes over the wire:
// requests and answers with their headers, without TLS and below. Beside it, it counts the same for a web server over a folder,
// which sends fewer headers, as it is and with compression switched on.
type bucketWeb struct {
	t    testing.TB
	w    *world
	down bool // the network says nothing but no

	cost
}

// cost is what an update takes.
type cost struct {
	requests, unchanged, failed int
	bucket, folder, zipped      int64 // bytes
}

func (c *cost) add(o cost) {
	c.requests, c.unchanged, c.failed = c.requests+o.requests, c.unchanged+o.unchanged, c.failed+o.failed
	c.bucket, c.folder, c.zipped = c.bucket+o.bucket, c.folder+o.folder, c.zipped+o.zipped
}

var errRefused = errors.New("connection refused")

// The headers that S3 adds to each answer, of their usual lengths, and what it says of an object that is not there.
var (
	bucketHeaders = http.Header{
		"X-Amz-Id-2":       {strings.Repeat("x", 76)},
		"X-Amz-Request-Id": {strings.Repeat("x", 16)},
		"Server":           {"AmazonS3"},
	}
	bucketObject = http.Header{"Accept-Ranges": {"bytes"}, "X-Amz-Server-Side-Encryption": {"AES256"}}
	bucketAbsent = `<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>%s</Key>" +
		"<RequestId>" + strings.Repeat("x", 16) + "</RequestId><HostId>" + strings.Repeat("x", 76) + "</HostId></Error>"
)

// RoundTrip implements http.RoundTripper.
func (b *bucketWeb) RoundTrip(r *http.Request) (*http.Response, error) {
	b.requests++
	if b.down {
		b.failed++
		return nil, errRefused
	}
	sent := b.length(r.Write)
	path := strings.TrimPrefix(r.URL.Path, "/")
	data, ok := b.w.objects[path]
	if !ok {
		text := fmt.Sprintf(bucketAbsent, path)
		b.bucket += sent + b.length(b.answer(r, http.StatusNotFound, []byte(text), http.Header{"Content-Type": {"application/xml"}}, bucketHeaders).Write)
		b.plain(sent + b.length(b.answer(r, http.StatusNotFound, make([]byte, 146), http.Header{"Content-Type": {"text/html"}}).Write))
		return b.answer(r, http.StatusNotFound, []byte(text)), nil
	}
	o := NewTile(path, data)
	about := http.Header{"Content-Type": {o.ContentType}, "Cache-Control": {o.CacheControl}, "Etag": {b.tag(data)}, "Last-Modified": {worldStart.Format(http.TimeFormat)}}
	if r.Header.Get("If-None-Match") == about.Get("ETag") {
		b.unchanged++
		b.bucket += sent + b.length(b.answer(r, http.StatusNotModified, nil, about, bucketHeaders).Write)
		b.plain(sent + b.length(b.answer(r, http.StatusNotModified, nil, about).Write))
		return b.answer(r, http.StatusNotModified, nil, about), nil
	}
	encoded := about.Clone()
	encoded.Set("Content-Encoding", "gzip")
	whole := sent + b.length(b.answer(r, http.StatusOK, data, about).Write)
	b.folder += whole
	b.zipped += min(whole, sent+b.length(b.answer(r, http.StatusOK, gzipBytes(data), encoded).Write))
	if o.Gzip != nil {
		data, about = o.Gzip, encoded
	}
	b.bucket += sent + b.length(b.answer(r, http.StatusOK, data, about, bucketHeaders, bucketObject).Write)
	return b.answer(r, http.StatusOK, data, about), nil
}

// plain counts an answer of a web server over a folder, compressed or not.
func (b *bucketWeb) plain(n int64) {
	b.folder += n
	b.zipped += n
}

func (b *bucketWeb) answer(r *http.Request, status int, body []byte, headers ...http.Header) *http.Response {
	h := http.Header{"Date": {b.w.now.Format(http.TimeFormat)}}
	for _, more := range headers {
		for name, values := range more {
			h[name] = values
		}
	}
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}
}

// tag is an object's entity tag.
func (b *bucketWeb) tag(data []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(data)) }

// length is how many bytes write writes.
func (b *bucketWeb) length(write func(io.Writer) error) int64 {
	var n counted
	if err := write(&n); err != nil {
		b.t.Fatal(err)
	}
	return int64(n)
}

type counted int64

func (c *counted) Write(p []byte) (int, error) {
	*c += counted(len(p))
	return len(p), nil
}

// reader is a mirror of that name whose answers come from the bucket.
func (b *bucketWeb) reader(name string) Source {
	h, err := NewHTTP("https://"+name+"/", "starttls-policy/1.0.0")
	if err != nil {
		b.t.Fatal(err)
	}
	h.client.Transport = agentTransport{b, "starttls-policy/1.0.0"}
	h.window = time.Hour // nothing is slow here
	return Source{name, h}
}
