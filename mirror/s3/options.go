package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Options say where a mirror is. Only Bucket is required.
type Options struct {
	Bucket   string
	Prefix   string // of every key, without slashes at its ends; "" for the whole bucket
	Endpoint string // "" for Amazon's own, else http:// or https:// and a host, as the store's operator names it
	Region   string // "" for that of the SDK's usual chain, and us-east-1 where the chain has none

	// PathStyle puts the bucket into the URL's path instead of its host name.
	PathStyle bool

	// Credentials replace the SDK's usual chain (environment, shared files, roles) when not nil.
	Credentials aws.CredentialsProvider

	// Patience is how long one request may make no progress; 0 stands for 30 seconds.
	Patience time.Duration

	// Pause is the longest pause before a request is sent again; 0 stands for the SDK's 20 seconds.
	Pause time.Duration

	// Page is the number of keys asked for at once when listing; 0 leaves it to the store, which means 1000.
	Page int32
}

// Parse reads an address
//
//	s3://bucket/prefix?endpoint=https://store.example&region=eu-1&path-style=true
//
// whose query and prefix are optional. With an endpoint, path-style is true unless given, because most stores that are
// not Amazon's have no name for each bucket. Keys and passwords do not belong into an address and are refused.
func Parse(address string) (Options, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Options{}, fmt.Errorf("s3 address: %w", err)
	}
	if u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return Options{}, errors.New("s3 address: want s3://bucket/prefix?endpoint=…&region=…&path-style=…")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, fmt.Errorf("s3 address: %w", err)
	}
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	o.Endpoint = query.Get("endpoint")
	o.Region = query.Get("region")
	o.PathStyle = o.Endpoint != ""
	for key, values := range query {
		switch {
		case len(values) != 1:
			return Options{}, fmt.Errorf("s3 address: %s is given %d times", key, len(values))
		case key == "path-style":
			if o.PathStyle, err = strconv.ParseBool(values[0]); err != nil {
				return Options{}, fmt.Errorf("s3 address: path-style: %q is neither true nor false", values[0])
			}
		case key != "endpoint" && key != "region":
			return Options{}, fmt.Errorf("s3 address: unknown key %q", key)
		}
	}
	return o, o.check()
}

// check refuses what would otherwise be found out only with the first request.
func (o Options) check() error {
	if o.Bucket == "" {
		return errors.New("s3 address: no bucket")
	}
	if o.Prefix != "" {
		if err := mirror.CheckPath(o.Prefix); err != nil {
			return fmt.Errorf("s3 address: prefix: %w", err)
		}
	}
	if o.Endpoint == "" {
		return nil
	}
	e, err := url.Parse(o.Endpoint)
	if err != nil {
		return fmt.Errorf("s3 address: endpoint: %w", err)
	}
	if e.Scheme != "https" && e.Scheme != "http" || e.Host == "" || e.User != nil || e.RawQuery != "" {
		return fmt.Errorf("s3 address: endpoint %q is not http:// or https:// and a host", o.Endpoint)
	}
	return nil
}
