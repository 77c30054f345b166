// Package packaging has what .github/package.sh makes packages and images of, and the tests of both.
//
//	nfpm.yaml            the Debian package
//	postinst prerm postrm  what dpkg runs; prerm says what Postfix has to do with it
//	default              /etc/default/starttls-policy, the conffile
//	environment.conf     drop-in by which the units read it
//	Dockerfile           the image
//	copyright lintian-overrides
package packaging
