package pipeline

// SetMaxEvidence lowers the most that evidence may have; what it returns puts it back.
func SetMaxEvidence(n int64) (restore func()) {
	before := maxObservations
	maxObservations = n
	return func() { maxObservations = before }
}
