// Command drawer is the plugin program of the tests, built by keytest.Install.
package main

import "github.com/starttls-everywhere/policylist/pipeline/signing/keytest"

func main() { keytest.RunDrawer() }
