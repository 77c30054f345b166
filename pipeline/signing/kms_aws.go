package signing

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	// awskms:// is always there: the SDK below it is linked for mirrors on S3 anyway.
	awskms "github.com/sigstore/sigstore/pkg/signature/kms/aws"
)

// maxAWSMessage is the most that AWS KMS signs as it stands, in bytes (API reference, Sign, Message). Checkpoints have some
// 200, trust versions a few thousand; a list has more, so that a release key in AWS has to be ECDSA.
const maxAWSMessage = 4096

// awsEd25519 signs with a key of the spec ECC_NIST_EDWARDS25519, which sigstore's provider does not know.
func awsEd25519(ctx context.Context, ref string) (func(context.Context, []byte) ([]byte, error), error) {
	endpoint, id, _, err := awskms.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if endpoint != "" {
		settings.BaseEndpoint = aws.String("https://" + endpoint)
	}
	client := kms.NewFromConfig(settings)
	return func(ctx context.Context, message []byte) ([]byte, error) {
		if len(message) > maxAWSMessage {
			return nil, fmt.Errorf("AWS signs at most %d bytes with an Ed25519 key, not %d; use an ECDSA P-256 key for releases", maxAWSMessage, len(message))
		}
		out, err := client.Sign(ctx, &kms.SignInput{KeyId: &id, Message: message, MessageType: types.MessageTypeRaw,
			SigningAlgorithm: types.SigningAlgorithmSpecEd25519Sha512})
		if err != nil {
			return nil, err
		}
		return out.Signature, nil
	}, nil
}
