//go:build hashivault

package signing

import _ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault" // hashivault://
