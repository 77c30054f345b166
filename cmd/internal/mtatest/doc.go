// Package mtatest lets real mail servers deliver into a lab. Only tests import it.
//
// A test package's TestMain hands over to Run, which starts the test binary again in namespaces of its own: network, mounts,
// processes. There the ports 25, 53 and 443 are free whatever other tests do, nothing reaches a network, and every process
// ends with the tests. It takes root, or sudo without a password.
//
//	func TestMain(m *testing.M) { os.Exit(mtatest.Run(m)) }
//
//	l := mtatest.NewLab(t)                     // DNS at port 53, mail at 25, MTA-STS at 443
//	m := mtatest.NewMachine(t, l, "/", "exim") // a root folder: this Debian, with unpacked packages laid over it
//	m.Write("/etc/exim4/exim4.conf", settings, 0o644)
//	out, err := m.Command(ctx, "/usr/sbin/exim4", "-bV").CombinedOutput()
//
// On a machine the lab is the whole Internet: its resolver stands in /etc/resolv.conf, its CA is the only one in
// /etc/ssl/certs/ca-certificates.crt. The program under test is /usr/bin/starttls-policy there, built as for a release. What
// is written goes into memory, never to the disk below.
package mtatest
