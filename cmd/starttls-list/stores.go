package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/s3"
)

// openStore opens what can be written: a folder (made when absent), file://…, or s3://….
func openStore(ctx context.Context, ref string) (mirror.Store, error) {
	scheme, rest, ok := strings.Cut(ref, "://")
	switch {
	case !ok:
		rest = ref
	case scheme == "file":
	case scheme == "s3":
		o, err := s3.Parse(ref)
		if err != nil {
			return nil, err
		}
		return s3.Open(ctx, o)
	default:
		return nil, fmt.Errorf("%q: mirrors are published to a folder or to s3://…", ref)
	}
	if err := os.MkdirAll(rest, 0o755); err != nil {
		return nil, err
	}
	return dir.Open(rest)
}
