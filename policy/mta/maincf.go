package mta

// Folder is where starttls-policy keeps its state and its files for mail servers unless told otherwise.
const Folder = "/var/lib/starttls-policy"

// PostfixTable is the name of Postfix's table in that folder.
const PostfixTable = "postfix-tls-policy"

// DaemonAddress is where the units in cmd/starttls-policy/systemd have the daemon listen.
const DaemonAddress = "127.0.0.1:8461"

// CABundles are where systems keep the CA certificates in one file, Debian's first.
func CABundles() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}
}

// PolicyMaps is the line of main.cf that names where Postfix asks for policies: TableMap or DaemonMap, behind what is there.
func PolicyMaps(maps string) string { return "smtp_tls_policy_maps = " + maps }

// TableMap names the table at path, of a type that "postconf -m" has.
func TableMap(tableType, path string) string { return tableType + ":" + path }

// DaemonMap names the daemon's socket, inet or unix, and the dialect in which it is to answer.
func DaemonMap(network, address string, d Dialect) string {
	return DaemonMapPrefix(network, address) + d.String()
}

// DaemonMapPrefix is how such a map begins, whatever the dialect.
func DaemonMapPrefix(network, address string) string {
	return "socketmap:" + network + ":" + address + ":"
}

// CAFile is the line of main.cf without which no certificate could be verified, and mail to every listed domain would wait.
func CAFile(bundle string) string { return "smtp_tls_CAfile = " + bundle }

// Level is the line of main.cf by which mail for all other domains goes out as before, over TLS where there is any.
const Level = "smtp_tls_security_level = may"

// MainTable are the lines of main.cf for the table, of a Debian Postfix that has nothing of its own there.
func MainTable(tableType string) []string {
	return []string{PolicyMaps(TableMap(tableType, Folder+"/"+PostfixTable)), CAFile(CABundles()[0]), Level}
}

// MainDaemon are those for the daemon, in the dialect that this Postfix reads.
func MainDaemon(d Dialect) []string {
	return []string{PolicyMaps(DaemonMap("inet", DaemonAddress, d)), CAFile(CABundles()[0]), Level}
}

// NotVerified is what Postfix writes beside mail that waits since no server showed a certificate that its policy takes.
const NotVerified = "Server certificate not verified"
