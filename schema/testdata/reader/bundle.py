"""What other people's tools read beside a list: the sigstore bundle and the OpenPGP signature."""

import base64
import binascii
import hashlib
import json
import re

from canonical import Refused, members_once, need, sha256, shape, strict_base64
from notes import ed25519_good


def check_bundle(data, trust, list_data):
    """policy.json.sigstore.json by the release keys of one trust version."""
    need(len(data) <= 64 << 10, "a bundle of more than 64 KiB")
    try:
        text = data.decode("ascii")
        b = json.loads(text, object_pairs_hook=members_once)
    except ValueError as e:
        raise Refused(f"not JSON: {e}") from None
    need("".join(text.split()) == json.dumps(b, separators=(",", ":")), "not in the one order and spelling")
    shape(b, mediaType=str, verificationMaterial=dict, messageSignature=dict)
    shape(shape(b["verificationMaterial"], publicKey=dict)["publicKey"], hint=str)
    m = shape(b["messageSignature"], messageDigest=dict, signature=str)
    shape(m["messageDigest"], algorithm=str, digest=str)
    need(b["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json", "another media type")
    need(m["messageDigest"]["algorithm"] == "SHA2_256", "another digest algorithm")
    need(strict_base64(m["messageDigest"]["digest"]) == sha256(list_data), "about another list")
    hint, signature = strict_base64(b["verificationMaterial"]["publicKey"]["hint"]), strict_base64(m["signature"])
    need(any(k.id == hint and k.good(list_data, signature) for k in trust.releases), "no release key's signature")


def dearmor(data, kind):
    """RFC 9580 section 6."""
    m = re.fullmatch(rf"-----BEGIN PGP {kind}-----\n(?:[A-Za-z]+: .*\n)*\n((?:[A-Za-z0-9+/=]+\n)+)-----END PGP {kind}-----\n", data.decode("ascii", "replace"))
    need(m, f"not the armor of a {kind}")
    lines = m[1].split("\n")[:-1]
    if lines[-1].startswith("="):
        lines.pop()  # the checksum, which nobody has to look at
    try:
        return base64.b64decode("".join(lines), validate=True)
    except binascii.Error:
        raise Refused("armor that is not base64") from None


def _length(data):
    """A length of one, two or five bytes (RFC 9580 section 4.2.1), and what follows."""
    need(data, "a packet without a length")
    if data[0] < 192:
        return data[0], data[1:]
    if data[0] < 224:
        return (data[0] - 192 << 8) + data[1] + 192, data[2:]
    need(data[0] == 255, "a partial length")
    return int.from_bytes(data[1:5], "big"), data[5:]


def packets(data):
    while data:
        if data[0] & 0x40:
            tag, (size, data) = data[0] & 0x3F, _length(data[1:])
        else:
            tag, width = data[0] >> 2 & 15, 1 << (data[0] & 3)
            size, data = int.from_bytes(data[1:1 + width], "big"), data[1 + width:]
        need(data and len(data) >= size, "a packet that ends too early")
        yield tag, data[:size]
        data = data[size:]


def subpackets(data):
    while data:
        size, data = _length(data)
        need(1 <= size <= len(data), "a subpacket that ends too early")
        yield data[0] & 0x7F, data[1:size]
        data = data[size:]


def _mpi(data):
    size = (int.from_bytes(data[:2], "big") + 7) // 8
    need(len(data) >= 2 + size, "a number that ends too early")
    return data[2:2 + size], data[2 + size:]


ED25519_LEGACY = bytes.fromhex("2b06010401da470f01")


def check_openpgp(key_data, signature_data, message, now):
    """policy.json.asc: one version 4 signature of an EdDSA key (algorithm 22), as starttls-list makes them."""
    body = dict(packets(dearmor(key_data, "PUBLIC KEY BLOCK")))[6]
    need(body[0] == 4 and body[5] == 22 and body[6] == 9 and body[7:16] == ED25519_LEGACY, "a key of another kind")
    point, _ = _mpi(body[16:])
    fingerprint = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).digest()
    found = list(packets(dearmor(signature_data, "SIGNATURE")))
    need(len(found) == 1 and found[0][0] == 2, "one signature belongs here")
    s = found[0][1]
    need(s[:4] == bytes([4, 0, 22, 8]), "not version 4, binary, EdDSA, SHA-256")
    end = 6 + int.from_bytes(s[4:6], "big")
    hashed = dict(subpackets(s[6:end]))
    need(hashed.get(33, b"")[1:] == fingerprint, "signed by another key")
    made = int.from_bytes(hashed[2], "big")
    need(made <= now.timestamp(), "signed after this time")
    rest = s[end + 2 + int.from_bytes(s[end:end + 2], "big"):]
    digest = sha256(message + s[:end] + b"\x04\xff" + end.to_bytes(4, "big"))
    need(rest[:2] == digest[:2], "about another file")
    r, rest = _mpi(rest[2:])
    t, rest = _mpi(rest)
    need(not rest and ed25519_good(point[1:], digest, r.rjust(32, b"\0") + t.rjust(32, b"\0")), "no good signature")
    return made
