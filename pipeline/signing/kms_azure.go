//go:build azurekms

package signing

import _ "github.com/sigstore/sigstore/pkg/signature/kms/azure" // azurekms://
