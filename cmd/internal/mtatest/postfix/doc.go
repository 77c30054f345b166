// Package postfix holds the tests in which real Postfixes deliver by the policies of a list: the one of this Debian, and
// that of Debian 13, which knows MX patterns.
package postfix
