//go:build race

package mta

// slowdown is how much slower the race detector makes our code, at most; judges in C do not slow down.
const slowdown = 30
