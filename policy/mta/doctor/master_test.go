package doctor

import (
	"fmt"
	"reflect"
	"testing"
)

// What Postfix 3.7 prints.
func TestParseMaster(t *testing.T) {
	const fields = `smtp/inet/command = smtpd -o smtp_tls_policy_maps=x
smtp/unix/service = smtp
smtp/unix/chroot = y
smtp/unix/command = smtp
relay/unix/service = relay
relay/unix/chroot = -
relay/unix/command = smtp -o syslog_name=postfix/$service_name -o {smtp_tls_policy_maps=inline:{ a=may }}
own/unix/service = own
own/unix/chroot = n
own/unix/command = /usr/libexec/postfix/smtp
lmtp/unix/service = lmtp
lmtp/unix/command = lmtp
`
	const options = `smtp/inet/smtp_tls_policy_maps = x
relay/unix/smtp_tls_policy_maps = inline:{ a=may }
relay/unix/syslog_name = postfix/relay
own/unix/smtp_tls_CAfile =
`
	for compatibility, dash := range map[string]bool{"3.6": false, "2": false, "0": true, "": true} {
		want := []Service{
			{Name: "smtp", Chroot: true},
			{"relay", dash, map[string]string{"smtp_tls_policy_maps": "inline:{ a=may }", "syslog_name": "postfix/relay"}},
			{"own", false, map[string]string{"smtp_tls_CAfile": ""}},
		}
		if got := ParseMaster(fields, options, compatibility); !reflect.DeepEqual(got, want) {
			t.Errorf("compatibility_level = %q: %+v", compatibility, got)
		}
	}
}

// What Exim 4.96 prints.
func TestParseParts(t *testing.T) {
	const text = "\nstarttls_policy router:\naddress_test\nno_more\ndomains = ${if exists{/x} {cdb;/x} {}}\ntransport = safe\nuser = \n\nplain router:\ndriver = dnslookup\nmore\n"
	got := fmt.Sprint(ParseParts(text))
	const want = "[{starttls_policy map[address_test:true domains:${if exists{/x} {cdb;/x} {}} more:false transport:safe user:]} {plain map[driver:dnslookup more:true]}]"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
