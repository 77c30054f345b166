#!/usr/bin/env bash
# Signs what a release of the software consists of. The key is the software's: no list is signed with it, and whoever has
# it can change no list.
set -eu -o pipefail

if [ $# != 3 ]; then
	cat >&2 <<'USAGE'
usage: .github/sign.sh KEY FILE SIGNATURE

Writes the signature of FILE by the private key in the PEM file KEY (ECDSA on P-256), as base64 in one line, which cosign
and openssl take:

  cosign verify-blob --key software.pub --signature SHA256SUMS.sig --insecure-ignore-tlog=true SHA256SUMS
  openssl dgst -sha256 -verify software.pub -signature <(base64 -d SHA256SUMS.sig) SHA256SUMS

A key is made with

  openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -v2 aes-256-cbc -out software.key
  openssl pkey -in software.key -pubout -out software.pub

environment
  SOFTWARE_KEY_PASSWORD   of an encrypted key
USAGE
	exit 2
fi
key=$1 file=$2 signature=$3
if [ ! -r "$key" ]; then
	printf '!! the key of the software, "%s", cannot be read: nothing is released unsigned\n' "$key" >&2
	exit 1
fi
umask 022
temp=$(mktemp "$signature.XXXXXX")
trap 'rm -f "$temp"' EXIT
export SOFTWARE_KEY_PASSWORD=${SOFTWARE_KEY_PASSWORD:-}
openssl dgst -sha256 -sign "$key" -passin env:SOFTWARE_KEY_PASSWORD "$file" | base64 -w 0 >"$temp" || {
	printf '!! %s does not sign: is SOFTWARE_KEY_PASSWORD its password?\n' "$key" >&2
	exit 1
}
# A key that is not the one whose public half people have would be found out by them alone.
if [ -n "${SOFTWARE_PUBLIC_KEY:-}" ]; then
	base64 -d "$temp" | openssl dgst -sha256 -verify "$SOFTWARE_PUBLIC_KEY" -signature /dev/stdin "$file" >/dev/null || {
		printf '!! %s does not verify what %s signed\n' "$SOFTWARE_PUBLIC_KEY" "$key" >&2
		exit 1
	}
fi
chmod 644 "$temp"
mv "$temp" "$signature"
