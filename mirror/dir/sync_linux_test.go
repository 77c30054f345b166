package dir

import "testing"

func TestSince58(t *testing.T) {
	for release, want := range map[string]bool{
		"5.8.0": true, "5.10.0-28-amd64": true, "6.1": true, "6.18.44": true, "10.0-rc1": true, "5.8-rc1": true,
		"5.7.19": false, "4.18.0-553.el8": false, "": false, "x.y": false, "5": false,
	} {
		if since58(release) != want {
			t.Errorf("%q: %v", release, !want)
		}
	}
}
