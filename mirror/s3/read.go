package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Get implements mirror.Reader.
func (s *Store) Get(ctx context.Context, p string, limit int64) ([]byte, error) {
	data, _, err := s.read(ctx, p, limit)
	return data, err
}

// GetHeaders implements mirror.HeaderReader.
func (s *Store) GetHeaders(ctx context.Context, p string, limit int64) ([]byte, mirror.Headers, error) {
	data, about, err := s.read(ctx, p, limit)
	return data, about.Headers, err
}

// GetTime is Get, with the time at which the store answered, by its own clock; zero when it did not say. An absent object
// has that time too.
func (s *Store) GetTime(ctx context.Context, p string, limit int64) ([]byte, time.Time, error) {
	data, about, err := s.read(ctx, p, limit)
	return data, about.time, err
}

// about is what an answer says beside the object's bytes.
type about struct {
	mirror.Headers
	tag  string    // ETag, to be sent back as it is; never taken for a digest
	time time.Time // of the answer, by the store's clock
}

func (s *Store) read(ctx context.Context, p string, limit int64) ([]byte, about, error) {
	if err := mirror.CheckPath(p); err != nil {
		return nil, about{}, s.tell("get", p, err)
	}
	ctx, cancel := s.deadline(ctx, limit)
	defer cancel()
	var err error
	for range attempts { // the SDK retries until the headers are there; a body that breaks off is ours to retry
		var data []byte
		var broken bool
		var said about
		if data, broken, err = s.get(ctx, p, limit, &said); err == nil {
			return data, said, nil
		}
		if !broken || ctx.Err() != nil {
			break
		}
	}
	if isAbsent(err) {
		err = fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return nil, about{time: answered(err)}, s.tell("get", p, err)
}

// get makes one request and fills in what the answer says. broken says that the answer's body could not be read to its end.
func (s *Store) get(ctx context.Context, p string, limit int64, said *about) (data []byte, broken bool, err error) {
	answer, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.options.Bucket, Key: s.key(p)})
	if err != nil {
		return nil, errors.Is(err, errBroken), err
	}
	defer answer.Body.Close()
	said.Headers = mirror.Headers{ContentType: aws.ToString(answer.ContentType), CacheControl: aws.ToString(answer.CacheControl)}
	said.tag = aws.ToString(answer.ETag)
	said.time, _ = awsmiddleware.GetServerTime(answer.ResultMetadata)
	zipped, err := isGzip(aws.ToString(answer.ContentEncoding))
	if err != nil {
		return nil, false, err
	}
	if !zipped {
		data, err = mirror.ReadLimited(answer.Body, limit)
		return data, err != nil && !errors.Is(err, mirror.ErrTooLarge), err
	}
	encoded, err := mirror.ReadLimited(answer.Body, encodedLimit(limit))
	if err != nil {
		return nil, !errors.Is(err, mirror.ErrTooLarge), err
	}
	data, err = mirror.Gunzip(encoded, limit)
	return data, false, err
}

// encodedLimit is the length of the longest gzip form of n bytes that anyone has reason to send: RFC 1951 stored blocks
// add 5 bytes to 65,535, RFC 1952 adds 18 and a file name.
func encodedLimit(n int64) int64 {
	n = min(n, largest)
	return n + n/1024 + 1024
}

// isGzip reads a Content-Encoding header. aws-chunked is how uploads were framed; some stores repeat it.
func isGzip(header string) (bool, error) {
	zipped := false
	for coding := range strings.SplitSeq(header, ",") {
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "", "identity", "aws-chunked":
		case "gzip":
			if zipped {
				return false, fmt.Errorf("content encoding %q is encoded twice", header)
			}
			zipped = true
		default:
			return false, fmt.Errorf("content encoding %q is not known", header)
		}
	}
	return zipped, nil
}

// List implements mirror.Store. All keys below prefix are held and sorted first: stores that walk a file system, or that
// spread one bucket over several machines, list pages in orders of their own.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		paths, err := s.list(ctx, prefix)
		if err != nil {
			yield("", s.tell("list", prefix, err))
			return
		}
		for _, p := range paths {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (s *Store) list(ctx context.Context, prefix string) ([]string, error) {
	root := s.options.Prefix
	if root != "" {
		root += "/"
	}
	in := &s3.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: aws.String(root + prefix)}
	pages := s3.NewListObjectsV2Paginator(s.client, in, func(o *s3.ListObjectsV2PaginatorOptions) {
		o.Limit = s.options.Page
		o.StopOnDuplicateToken = true // a store that repeats itself must not hold us for ever
	})
	var paths []string
	for pages.HasMorePages() {
		page, err := s.page(ctx, pages)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Contents {
			p, ok := strings.CutPrefix(aws.ToString(object.Key), root)
			if ok && strings.HasPrefix(p, prefix) && mirror.CheckPath(p) == nil {
				paths = append(paths, p)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func (s *Store) page(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := s.deadline(ctx, 0)
	defer cancel()
	page, err := pages.NextPage(ctx)
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return page, err
}
