//go:build !race

package mta

const slowdown = 1
