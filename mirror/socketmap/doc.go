// Package socketmap answers a mail server's questions about recipient domains from a verified list.
//
// Postfix asks over its socketmap protocol (socketmap_table(5)). Requests and replies are netstrings, many on one
// connection, one reply a request, in order:
//
//	20:floor mail.a.example,                                     "floor" is the map's name in main.cf
//	55:OK secure match=mx.a.example protocols=>=TLSv1.2 …,       what smtp_tls_policy_maps would hold
//	9:NOTFOUND ,                                                 ask the next map, else Postfix's own settings decide
//
// The map's name chooses the dialect, since an attribute that a Postfix does not know stops all mail of the domain. The
// names that postfix-tlspol and postfix-mta-sts-resolver use are understood too.
//
// What a mail server must never meet is an error: TEMP and PERM, a reply that does not come, a connection that closes in
// front of a request, each of them defers the mail of every domain, listed or not. So whatever goes wrong with a list is
// answered as if there were no list, and said elsewhere.
package socketmap
