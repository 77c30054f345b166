package doctor

import (
	"time"
)

// Facts are everything that the rules look at. A part that is nil was not found, or not looked at; then no rule
// about it says anything.
type Facts struct {
	Now       time.Time
	Postfix   *Postfix
	Exim      *Exim
	OtherMTA  string // why no mail server of this machine is looked at; "" otherwise
	Table     *Table
	Daemon    *Daemon
	Sockets   []Socket
	Lists     []List
	Exports   []Export
	State     State
	Update    Update
	Feedback  *Feedback // nil: it is off
	Resolvers []Resolver
	Off       string   // why everything is switched off; "" while it is not
	Overrides []string // "domain, until 2026-01-31", of overrides that have ended
	Unseen    []string // what could not be looked at, and why
}

// Postfix is what postconf says, and what lies behind the names in it.
type Postfix struct {
	Version  string            // mail_version
	Params   map[string]string // of main.cf, with $name expanded
	Types    []string          // of tables: postconf -m; nil: not known
	Services []Service         // those that run smtp(8)
	Files    map[string]File   // by path: tables' files, CAfile, CApath and such in the chroot
	Bundle   string            // the CA certificates that this system has in one file
	// ChrootResolver says how the resolver's configuration differs from that in the chroot; "" when it does not.
	ChrootResolver string
}

// File is what lies at a path.
type File struct {
	Missing  bool
	Writable bool // by others than its owner and root
	Certs    int  // in a file: PEM certificates; in a folder: the names that OpenSSL looks for
}

// Table is what [postfix] in our configuration asks for.
type Table struct {
	Type, Map  string
	Dialect    string // as resolved: "legacy", "sni", "floor", "tlsrpt"
	Fixed      bool   // the configuration names the dialect; false: it follows the version
	Right      bool   // the file is as it should be
	State      string // else what is wrong
	Writable   string // what others than its owner could replace it by; "" if nothing
	SparesDANE bool   // domains that have DANE are left out of it
}

// Daemon is what [serve] in our configuration asks for.
type Daemon struct {
	Listen  []string // "unix:/path" or "127.0.0.1:8461"
	DANE    bool     // one of its sources
	TrustAD bool     // it, or [leave-out], believes the resolver
}

// Socket is one socketmap of smtp_tls_policy_maps, as one kind of smtp(8) sees it.
type Socket struct {
	Entry     string // in main.cf: "socketmap:unix:private/x:floor"
	Chrooted  bool
	Place     string // what is connected to: a path on the disk, or host:port
	Elsewhere string // a socket outside the chroot that was probably meant
	Missing   bool
	Blocked   string // why Postfix's user may not connect; "" if it may
	Silent    string // why nobody answers; "" when somebody does
	Skipped   bool   // it was not asked about domains
	Ours      bool   // what answers is "starttls-policy serve"
	Unlisted  Answer // to a name that no list can have
	Listed    Answer // to a listed one; zero when there is none
}

// Answer is one reply of a socketmap.
type Answer struct {
	Key   string // "" when nothing was asked
	Reply string // "OK …", "NOTFOUND", "TEMP …"
}

// List is one list as it is held.
type List struct {
	Name         string
	Error        string // it cannot be read
	Damaged      string
	Release      int64 // 0: none
	Freshness    string
	Expires      time.Time
	Kept         bool // expired, and in force all the same
	Ended        bool
	Pinned       string // why an earlier release is in force than the newest
	Held         string // why the diff guard keeps a newer release back
	HeldRelease  int64
	TrustVersion int64
	TrustExpires time.Time // zero: not known
	Witnessed    bool
	ClockBehind  time.Duration
	Evidence     string // file
}

// Export is one [[export]].
type Export struct {
	Format, File string
	Right        bool
	State        string
}

// State is the folder that everything is kept in.
type State struct {
	Path     string
	Missing  bool
	Writable string   // what others than its owner may write; "" if nothing
	Owners   []string // files that belong to another user than the folder
	Left     []string // temporary files that nobody will finish
	Owner    string   // of the folder, by name or number
}

// Update is what is known about the last update, and about who starts the next.
type Update struct {
	Last    time.Time // zero: never
	Failed  string
	Systemd bool     // it runs this machine
	Active  []string // of our units
	Asked   []string // the units that were looked for
}

// Resolver is one that is asked for names: that of [serve], that of [leave-out], or one of this machine's.
type Resolver struct {
	Address  string // ADDR:PORT
	Loopback bool
	Asked    string // which name
	Failed   string // why there was no answer
	Secure   bool   // the answer had the AD bit
}

// Exim is what exim says about itself.
type Exim struct {
	Version    string
	Lookups    []string
	Refused    string // why it does not show its configuration
	Routers    []Part // in their order
	Transports []Part
}

// Part is a router or a transport of Exim's with its options.
type Part struct {
	Name    string
	Options map[string]string
}
