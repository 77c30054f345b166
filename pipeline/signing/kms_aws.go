package signing

// awskms:// is always there: the SDK below it is linked for mirrors on S3 anyway.
import _ "github.com/sigstore/sigstore/pkg/signature/kms/aws"
