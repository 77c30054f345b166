package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// errAnswer is for what a registry said and nobody can use.
var errAnswer = errors.New("not an answer about the domain (RFC 9083)")

const (
	// maxEvents caps what is looked at of an answer; registries give a handful.
	maxEvents = 256
	// ahead is how far a registry's clock may be ahead.
	ahead = time.Hour
)

// firstDomain is the day on which the first name was registered: what is earlier is an empty field in disguise.
var firstDomain = time.Date(1985, 1, 1, 0, 0, 0, 0, time.UTC)

// parseAnswer reads when a domain was registered last, zero where the answer does not tell: of the events "registration" and
// "reregistration" (RFC 9083 section 10.2.3) the latest. A date in the future, or no date at all, makes it no answer: to
// believe one that is still to come would void every proof until then.
func parseAnswer(data []byte, asked policy.Domain, now time.Time) (time.Time, error) {
	var object struct {
		Class  string `json:"objectClassName"`
		Name   string `json:"ldhName"`
		Events []struct {
			Action string `json:"eventAction"`
			Date   string `json:"eventDate"`
		} `json:"events"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if object.Class != "domain" {
		return time.Time{}, fmt.Errorf("%w: objectClassName is %.40q", errAnswer, object.Class)
	}
	if name := strings.ToLower(strings.TrimSuffix(object.Name, ".")); name != asked.String() {
		return time.Time{}, fmt.Errorf("%w: it is about %.80q", errAnswer, object.Name)
	}
	if len(object.Events) > maxEvents {
		return time.Time{}, fmt.Errorf("%w: %d events", errAnswer, len(object.Events))
	}
	var latest time.Time
	for _, e := range object.Events {
		if e.Action != "registration" && e.Action != "reregistration" {
			continue
		}
		at, err := time.Parse(time.RFC3339, e.Date)
		if err != nil || at.Before(firstDomain) || at.After(now.Add(ahead)) {
			return time.Time{}, fmt.Errorf("%w: %s on %.40q", errAnswer, e.Action, e.Date)
		}
		if at.After(latest) {
			latest = at.UTC().Truncate(time.Second)
		}
	}
	return latest, nil
}
