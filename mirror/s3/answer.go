package s3

import (
	"errors"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// ErrUnknown is returned when a write may or may not have happened and reading back did not tell. Stop, and find out
// with the next run.
var ErrUnknown = errors.New("outcome unknown")

// status returns the HTTP status of the answer that err stands for, or 0 when there was none.
func status(err error) int {
	var r *awshttp.ResponseError
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// answered returns the time of the answer that err stands for, by the store's clock; zero when there was none.
func answered(err error) time.Time {
	var r *awshttp.ResponseError
	if !errors.As(err, &r) || r.Response == nil {
		return time.Time{}
	}
	t, err := http.ParseTime(r.Response.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// code returns the protocol's error code, "" when there is none.
func code(err error) string {
	var a smithy.APIError
	if errors.As(err, &a) {
		return a.ErrorCode()
	}
	return ""
}

// isAbsent reports whether err says that an object is not there. Stores answer 403 for an absent object to those who may
// not list. But a 403 about the request itself (a wrong key, an old token, a wrong clock) and a missing bucket say nothing
// about the object: who took them for "absent" would think an established mirror empty. So would who took an answer for
// one that broke off before it said which of the two it is.
func isAbsent(err error) bool {
	if errors.Is(err, errBroken) {
		return false
	}
	switch status(err) {
	case http.StatusNotFound:
		return code(err) != "NoSuchBucket"
	case http.StatusGone:
		return true
	case http.StatusForbidden:
		return code(err) == "AccessDenied" || code(err) == "Forbidden" || code(err) == ""
	}
	return false
}

// refused reports whether the store said that it did not write and will not: any 4xx, except those that speak of other
// writers (409, 412) or of time (408, 429).
func refused(err error) bool {
	switch s := status(err); s {
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	default:
		return 400 <= s && s < 500 && code(err) != "RequestTimeout"
	}
}

// knowsNoCondition reports whether the store refused a write because of its If-None-Match header.
func knowsNoCondition(err error) bool {
	return status(err) == http.StatusNotImplemented || code(err) == "NotImplemented"
}
