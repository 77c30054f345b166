package lab

// Behaviour is how a mail server treats those who connect. The zero value is Good.
type Behaviour string

const (
	Good            Behaviour = ""                 // TLS 1.2 and 1.3, right name, full chain, valid for 90 days
	Ed25519         Behaviour = "ed25519"          // good, with an Ed25519 key
	RSA             Behaviour = "rsa"              // good, with a 2048 bit RSA key
	RSAPSS          Behaviour = "rsa-pss"          // good, with an RSA key and a chain signed with RSASSA-PSS
	TLS12Only       Behaviour = "tls12-only"       // good, but speaks nothing newer than TLS 1.2
	TLS13Only       Behaviour = "tls13-only"       // good, but speaks nothing older than TLS 1.3
	OddSpelling     Behaviour = "odd-spelling"     // good, but "250-starttls  ", two lines of greeting and bare line feeds
	Wildcard        Behaviour = "wildcard"         // good, certificate for *.parent
	NeedsSNI        Behaviour = "needs-sni"        // good when asked for by name, else a certificate for localhost
	OnlySNI         Behaviour = "only-sni"         // good when asked for by name, else ends the handshake
	LongChain       Behaviour = "long-chain"       // good, and sends the intermediate 200 times
	ExtraChain      Behaviour = "extra-chain"      // good, and sends the root as an expired older root had certified it
	EarlyTrap       Behaviour = "early-trap"       // good, but turns away who talks out of turn, as before the greeting
	NoStartTLS      Behaviour = "no-starttls"      // does not offer STARTTLS
	NoEHLO          Behaviour = "no-ehlo"          // 502 to EHLO
	Stripped        Behaviour = "stripped"         // "250-XXXXXXXA", as a middlebox writes over STARTTLS
	Blanked         Behaviour = "blanked"          // blanks where STARTTLS was
	Starred         Behaviour = "starred"          // "220 ****" and "500" to EHLO, as a firewall that inspects SMTP
	StartTLS454     Behaviour = "starttls-454"     // offers STARTTLS, then "454 not available"
	StartTLS502     Behaviour = "starttls-502"     // offers STARTTLS, then "502 not implemented"
	StartTLS554     Behaviour = "starttls-554"     // offers STARTTLS, then "554 TLS disabled"
	StartTLSHangs   Behaviour = "starttls-hangs"   // offers STARTTLS, then silence
	Injection       Behaviour = "injection"        // sends a reply in clear right behind the 220
	NotTLS          Behaviour = "not-tls"          // 220 to STARTTLS, then goes on in clear
	HandshakeFails  Behaviour = "handshake-fails"  // shares no cipher suite with anybody
	HandshakeHangs  Behaviour = "handshake-hangs"  // 220 to STARTTLS, then silence
	HandshakeDrops  Behaviour = "handshake-drops"  // 220 to STARTTLS, then closes
	EndlessCert     Behaviour = "endless-cert"     // a certificate message that announces 16 MB and never ends
	TLS11Only       Behaviour = "tls11-only"       // speaks nothing newer than TLS 1.1
	Expired         Behaviour = "expired"          // since yesterday
	Expiring        Behaviour = "expiring"         // in two days
	NotYetValid     Behaviour = "not-yet-valid"    // from tomorrow
	WrongName       Behaviour = "wrong-name"       // certificate for another host
	NoSAN           Behaviour = "no-san"           // name only in the subject
	SelfSigned      Behaviour = "self-signed"      // right name
	UnknownCA       Behaviour = "unknown-ca"       // full chain up to a root that nobody trusts
	ChainIncomplete Behaviour = "chain-incomplete" // leaf without its intermediate
	ChainExpired    Behaviour = "chain-expired"    // the intermediate ran out, the leaf did not
	BrokenCert      Behaviour = "broken-cert"      // bytes that are no certificate
	PSSKey          Behaviour = "pss-key"          // a key of the kind id-RSASSA-PSS
	EscapeName      Behaviour = "escape-name"      // a name and an issuer with terminal escapes
	Greeting421     Behaviour = "greeting-421"     // "421 4.7.0 try later"
	Greeting554     Behaviour = "greeting-554"     // "554 no mail from you"
	EHLO451         Behaviour = "ehlo-451"         // greets, then "451" to EHLO
	EHLO550         Behaviour = "ehlo-550"         // greets, then "550" to EHLO: our name is not liked
	Garbage         Behaviour = "garbage"          // answers with what is no SMTP
	Escapes         Behaviour = "escapes"          // no STARTTLS, and terminal escapes in all replies
	Endless         Behaviour = "endless"          // a greeting that never ends
	EndlessLine     Behaviour = "endless-line"     // a line that never ends
	Tarpit          Behaviour = "tarpit"           // a greeting that comes byte by byte and never ends
	Refusing        Behaviour = "refusing"         // nobody listens
	Hanging         Behaviour = "hanging"          // accepts the connection and says nothing
	Dropping        Behaviour = "dropping"         // accepts the connection and closes it
	Resetting       Behaviour = "resetting"        // accepts the connection and resets it
)
