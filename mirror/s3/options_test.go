package s3_test

import (
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/s3"
)

func TestParse(t *testing.T) {
	for address, want := range map[string]s3.Options{
		"s3://bucket":                           {Bucket: "bucket"},
		"s3://bucket/":                          {Bucket: "bucket"},
		"s3://bucket/a/b/":                      {Bucket: "bucket", Prefix: "a/b"},
		"s3://b/p?region=eu-1":                  {Bucket: "b", Prefix: "p", Region: "eu-1"},
		"s3://b?endpoint=https://store.example": {Bucket: "b", Endpoint: "https://store.example", PathStyle: true},
		"s3://b?endpoint=http%3A%2F%2F127.0.0.1%3A7070&path-style=false": {Bucket: "b", Endpoint: "http://127.0.0.1:7070"},
		"s3://b?path-style=true": {Bucket: "b", PathStyle: true},
		"s3://b/p?endpoint=https://store.example&region=r&path-style=true": {Bucket: "b", Prefix: "p", Endpoint: "https://store.example", Region: "r", PathStyle: true},
	} {
		got, err := s3.Parse(address)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v\nwant %+v", address, got, err, want)
		}
	}
	for name, address := range map[string]string{
		"no scheme":             "bucket/prefix",
		"another scheme":        "https://bucket/prefix",
		"no bucket":             "s3:///prefix",
		"a key in the address":  "s3://key:secret@bucket/prefix",
		"an unknown option":     "s3://bucket?pathstyle=true",
		"an option twice":       "s3://bucket?region=a&region=b",
		"no truth value":        "s3://bucket?path-style=maybe",
		"a prefix upwards":      "s3://bucket/../other",
		"an empty element":      "s3://bucket/a//b",
		"a prefix with a space": "s3://bucket/a%20b",
		"no endpoint host":      "s3://bucket?endpoint=store.example",
		"an endpoint with keys": "s3://bucket?endpoint=https://key:secret@store.example",
		"a fragment":            "s3://bucket/a#b",
	} {
		if got, err := s3.Parse(address); err == nil {
			t.Errorf("%s: %s was read as %+v", name, address, got)
		}
	}
}
