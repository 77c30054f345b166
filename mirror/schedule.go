package mirror

import "time"

// settleIn is within what time a program that has started updates its lists.
const settleIn = time.Minute

// FirstWait is how long a program that keeps lists up to date itself waits before its first update: up to a minute, so that
// the machines of a power cut do not all come at the same second. random(n) is in [0, n).
func FirstWait(random func(n int64) int64) time.Duration {
	return time.Duration(random(int64(settleIn)))
}

// NextWait is how long it waits from one update to the next, whether that went well or not: about a period, up to a tenth of
// it more or less, so that machines that came back together do not stay together.
func NextWait(period time.Duration, random func(n int64) int64) time.Duration {
	return period - period/10 + time.Duration(random(max(1, int64(period/5))))
}
