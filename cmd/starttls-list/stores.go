package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/s3"
)

const storeHint = "a mirror is a folder, file:///folder, s3://bucket/prefix?endpoint=…&region=… or, to read from, https://host/path"

// splitReference takes a mirror's address apart. A path without a scheme is a folder; so is what follows file://,
// where only an absolute path without a host means the same to everybody.
func splitReference(ref string) (scheme, folder string, err error) {
	scheme, rest, ok := strings.Cut(ref, "://")
	switch {
	case ref == "":
		err = fmt.Errorf("the address of a mirror is empty")
	case !ok && halfAnAddress(ref):
		err = fmt.Errorf("%q is no address; a folder of that name is ./%s", ref, ref)
	case !ok:
		return "file", ref, nil
	case scheme == "file" && !strings.HasPrefix(rest, "/"):
		err = fmt.Errorf("%q: file:// is followed by an absolute path", ref)
	case scheme != "file" && scheme != "s3" && scheme != "http" && scheme != "https":
		err = fmt.Errorf("%q: there are no %s:// mirrors", ref, scheme)
	}
	if err != nil {
		return "", "", &term.Exit{Code: exitUsage, Err: err, Hint: storeHint}
	}
	return scheme, rest, nil
}

// halfAnAddress reports whether a path looks like an address with a slash missing, as s3:/bucket does: a folder of that
// name would be made and filled, and nobody would see that nothing went out.
func halfAnAddress(ref string) bool {
	first, _, _ := strings.Cut(ref, "/")
	return strings.IndexByte(first, ':') > 1
}

// openStore opens a mirror that can be written: a folder, which is made when absent, or s3://….
func openStore(ctx context.Context, ref string) (mirror.Store, error) {
	scheme, folder, err := splitReference(ref)
	switch {
	case err != nil:
		return nil, err
	case scheme == "s3":
		return openS3(ctx, ref)
	case scheme != "file":
		return nil, &term.Exit{Code: exitUsage, Err: fmt.Errorf("%q cannot be written to", ref), Hint: storeHint}
	}
	s, err := dir.Open(folder)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: storeHint}
	}
	return s, nil
}

// openReader opens a mirror for reading: whatever openStore takes, and http and https. A folder must exist, and is not
// changed.
func openReader(ctx context.Context, ref string) (mirror.Reader, error) {
	scheme, folder, err := splitReference(ref)
	switch {
	case err != nil:
		return nil, err
	case scheme == "s3":
		return openS3(ctx, ref)
	case scheme == "file":
		r, err := dir.OpenReader(folder)
		if err != nil {
			err = &term.Exit{Code: exitUsage, Err: err, Hint: storeHint}
		}
		return r, err
	}
	h, err := mirror.NewHTTP(ref, "starttls-list/"+version)
	if err != nil {
		err = &term.Exit{Code: exitUsage, Err: err, Hint: storeHint}
	}
	return h, err
}

// openSources opens mirrors for reading, each by its reference.
func openSources(ctx context.Context, refs []string) ([]mirror.Source, error) {
	var out []mirror.Source
	for _, ref := range refs {
		r, err := openReader(ctx, ref)
		if err != nil {
			return nil, err
		}
		out = append(out, mirror.Source{Name: ref, Reader: r})
	}
	return out, nil
}

func openS3(ctx context.Context, ref string) (*s3.Store, error) {
	o, err := s3.Parse(ref)
	if err != nil {
		return nil, &term.Exit{Code: exitUsage, Err: err, Hint: storeHint}
	}
	return s3.Open(ctx, o)
}
