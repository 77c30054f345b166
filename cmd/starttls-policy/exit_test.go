package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Each state of a list has its exit code; what is worse wins.
func TestExitCodes(t *testing.T) {
	expiredTrust := fmt.Errorf("%w: %w", mirror.ErrNoMirror, mirror.ErrTrustExpired)
	for name, c := range map[string]struct {
		freshness mirror.Freshness
		trustOver bool
		err       error
		want      int
	}{
		"fresh":                              {mirror.Fresh, false, nil, 0},
		"stale":                              {mirror.Stale, false, nil, exitStale},
		"fresh, trust expired":               {mirror.Fresh, true, nil, exitStale},
		"newer releases under expired trust": {mirror.Fresh, true, expiredTrust, exitStale},
		"the same when stale":                {mirror.Stale, true, expiredTrust, exitStale},
		"the same when expired":              {mirror.Expired, true, expiredTrust, exitExpired},
		"no mirror":                          {mirror.Fresh, false, mirror.ErrNoMirror, exitNoMirror},
		"no mirror, trust expired":           {mirror.Fresh, true, mirror.ErrNoMirror, exitNoMirror},
		"no mirror, expired":                 {mirror.Expired, false, mirror.ErrNoMirror, exitExpired},
		"two histories":                      {mirror.Fresh, false, mirror.ErrSecurity, exitSecurity},
		"two histories, expired":             {mirror.Expired, true, mirror.ErrSecurity, exitSecurity},
		"a full disk":                        {mirror.Fresh, false, errors.New("no space left on device"), exitFailed},
	} {
		o := mirror.Outcome{View: mirror.View{Freshness: c.freshness, Release: &mirror.ReleaseLeaf{Release: 7}}, TrustExpired: c.trustOver}
		if got := exitOf(o, c.err); got != c.want {
			t.Errorf("%s: exit %d, want %d", name, got, c.want)
		}
	}
}
