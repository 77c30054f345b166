// Appendone opens the log in the folder of its argument and appends one leaf to it, as a publisher does that a timer
// starts. It prints the nanoseconds that it took from main's first statement until the leaf was durable.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

func main() {
	start := time.Now()
	l, err := tilelog.Open(os.Args[1])
	if err == nil {
		size := l.Tree().N
		_, err = l.Append(context.Background(), size, [][]byte{fmt.Appendf(nil, "one more leaf, at index %d", size)})
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(time.Since(start).Nanoseconds())
}
