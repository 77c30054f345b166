// Package s3 keeps a mirror in a bucket of Amazon S3 or of a store that speaks its protocol. Path p of the mirror is the
// key prefix/p. Objects that have a gzip form are stored in it, with Content-Encoding: gzip, so that a browser or a log
// client decodes them; everything this package returns or compares is identity bytes.
//
//	options, err := s3.Parse("s3://lists/example?endpoint=https://store.example")
//	store, err := s3.Open(ctx, options)
//	err = store.Create(ctx, mirror.Object{Path: "trust/1", Data: note, ContentType: "text/plain; charset=utf-8"})
//
// What the protocol promises and what stores do are two things, so:
//
//   - ETags are never looked at. They are an MD5 on some stores, for some uploads; Create reads the bytes back. Swap sends
//     them back as they came, in If-Match, and compares bytes itself.
//   - If-None-Match: * is sent where the store takes it, but two writers can still both win on some stores, and others
//     ignore it. Create therefore looks first, writes, and reads back; the publisher's lock keeps it the only writer.
//   - A write whose answer is lost, late or 5xx may have happened. Reading back decides; where even that fails the error
//     wraps ErrUnknown, and the caller must not guess.
//   - Checksums are sent and checked only where the protocol requires them. By default the SDK adds CRC-32 trailers to
//     every upload (aws-chunked), which many compatible stores refuse or store as part of the object. The body is
//     covered by the request's signature anyway.
package s3

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/starttls-everywhere/policylist/mirror"
)

const (
	patience = 30 * time.Second // without progress; the SDK's own connect timeout is as long
	attempts = 3                // per request, the SDK's default, named because deadlines are computed from it
	slowest  = 64 << 10         // bytes a second below which a transfer is given up
	largest  = 5 << 30          // bytes that the protocol lets one PUT carry
)

// Store is a mirror in a bucket. It is safe for concurrent use.
type Store struct {
	client  *s3.Client
	options Options

	requests atomic.Int64

	// unconditional is set once the store has answered that it does not know If-None-Match on writes.
	unconditional atomic.Bool
}

var _ mirror.Store = (*Store)(nil)

// Open prepares a store. It reads the SDK's configuration and credentials but sends nothing to the store.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Patience == 0 {
		o.Patience = patience
	}
	if o.Pause == 0 {
		o.Pause = retry.DefaultMaxBackoff
	}
	s := &Store{options: o}
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(transport(o.Patience)),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = attempts, o.Pause })
		}),
	}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	load = append(load, config.WithLogger(logging.Nop{})) // every failure comes back as an error
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("s3 store %s: configuration: %w", o.Bucket, err)
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	s.client = s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.HTTPClient = watched{c.HTTPClient, &s.requests, o.Patience}
		c.UsePathStyle = o.PathStyle
		c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if o.Endpoint != "" {
			c.BaseEndpoint = aws.String(o.Endpoint)
		}
	})
	return s, nil
}

// Requests counts the requests that were sent so far, the SDK's retries included.
func (s *Store) Requests() int64 { return s.requests.Load() }

// watched counts what goes through an HTTP client, and gives up on answers whose sender falls silent.
type watched struct {
	client   s3.HTTPClient
	n        *atomic.Int64
	patience time.Duration
}

func (c watched) Do(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	ctx, cancel := context.WithCancelCause(r.Context())
	answer, err := c.client.Do(r.WithContext(ctx))
	if err != nil {
		cancel(err)
		return answer, err
	}
	answer.Body = newLively(answer.Body, c.patience, cancel)
	return answer, nil
}

// transport gives up on a server that stays silent after a request, and leaves Content-Encoding alone: net/http would
// otherwise remove it together with the header that says so, unlimited. The SDK's own read timeout is off: it counts
// while a request is still being sent, and so breaks every upload that takes longer.
func transport(patience time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithReadTimeout(0).WithTransportOptions(func(t *http.Transport) {
		t.DisableCompression = true
		t.ResponseHeaderTimeout = patience
	})
}

// deadline bounds a whole operation that moves up to n bytes, retries and their pauses included.
func (s *Store) deadline(ctx context.Context, n int64) (context.Context, context.CancelFunc) {
	once := s.options.Patience + time.Duration(min(n, largest)/slowest)*time.Second
	return context.WithTimeout(ctx, attempts*(once+s.options.Pause/4))
}

func (s *Store) key(p string) *string { return aws.String(path.Join(s.options.Prefix, p)) }

// tell adds what every error of this package says: which store, what was tried, on what.
func (s *Store) tell(act, p string, err error) error {
	return fmt.Errorf("s3 store %s: %s %s: %w", path.Join(s.options.Bucket, s.options.Prefix), act, p, err)
}
