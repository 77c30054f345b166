package tlsrpt

// Receipt is the body of the answer to a contribution, in JSON:
//
//	{"status":"accepted","notices":["canary-delivered"]}
type Receipt struct {
	Status  ReceiptStatus `json:"status"`
	Notices []Notice      `json:"notices,omitempty"`
	Reason  string        `json:"reason,omitempty"` // of a refusal, one line for people
}

// ReceiptStatus tells what became of a contribution.
type ReceiptStatus string

const (
	ReceiptAccepted  ReceiptStatus = "accepted"  // HTTP 200 or 201
	ReceiptDuplicate ReceiptStatus = "duplicate" // HTTP 200 or 409: of this contributor and day there is one; nothing is left to do
	ReceiptRefused   ReceiptStatus = "refused"   // HTTP 4xx
)

// Notice is something that the operator tells a contributor about its own mail server: a code and nothing else, so that no
// operator can put words into an administrator's terminal.
type Notice string

// NoticeCanary: the contributor counts sessions that succeeded with a canary domain, which is listed on purpose and broken on
// purpose. Its mail server does not enforce what the list says.
const NoticeCanary Notice = "canary-delivered"

// Notices are all that there are; a reader leaves out any other.
func Notices() []Notice { return []Notice{NoticeCanary} }

// Known reports whether the notice is one of Notices.
func (n Notice) Known() bool { return n == NoticeCanary }
