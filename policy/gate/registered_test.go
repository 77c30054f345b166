package gate_test

import (
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy/gate"
)

// TestRegistrationOnlyHolds: whatever a registry says, it makes no change that would not be made without it, so neither a
// wrong date nor a hostile registry can weaken or remove an entry.
func TestRegistrationOnlyHolds(t *testing.T) {
	held, alarms := 0, 0
	for seed := range uint64(4 * trials) {
		d := throw(t, seed)
		in := d.input()
		in.Registered = time.Time{}
		without := gate.Decide(in, d.settings)
		if len(without.Alarms) > 0 || without.Vouched {
			t.Fatalf("seed %d: %+v", seed, without)
		}
		in.Registered = in.Now.Add(-time.Duration(d.IntN(70*24)) * time.Hour)
		with := gate.Decide(in, d.settings)
		if with.Step != nil && without.Step == nil {
			t.Fatalf("seed %d: %+v", seed, with.Step)
		}
		if with.Step == nil && without.Step != nil {
			held++
		}
		alarms += len(with.Alarms)
	}
	if held < 10 || alarms < 10 {
		t.Errorf("held %d, %d alarms: the test asks for too little", held, alarms)
	}
}
