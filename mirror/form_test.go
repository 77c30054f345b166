package mirror

import "os"

// fullForm is the long form of the tests that have two: see .github/check.sh --full.
func fullForm() bool { return os.Getenv("POLICYLIST_FULL") == "1" }
