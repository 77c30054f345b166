"""Signed notes (C2SP signed-note), vkeys, cosignatures (C2SP tlog-cosignature), witness policies and trust versions."""

import base64
import re

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from canonical import Refused, need, sha256, strict_base64, time

LOG, COSIGNER = 1, 4  # signature types

# What Python's decoder takes is more: "AAAA=" passes it. Unused bits of the last letter may be anything here.
BASE64 = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


class Note:
    """A text and its signature lines, nothing verified."""

    def __init__(self, data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("a note that is not UTF-8") from None
        need(all(c == "\n" or c >= " " for c in text), "a control character in a note")
        split = text.rfind("\n\n")
        need(split >= 0 and text.endswith("\n"), "not a signed note")
        self.text = text[:split + 1]
        lines = text[split + 2:].split("\n")[:-1]
        need(1 <= len(lines) <= 100, "1 to 100 signature lines")
        self.lines = [self._line(line) for line in lines]

    @staticmethod
    def _line(line):
        m = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        need(m, "a signature line that is none")
        need(BASE64.fullmatch(m[2]), "a signature that is not base64 with its padding")
        raw = base64.b64decode(m[2])
        need(len(raw) >= 5, "a signature too short for its key hash")
        return m[1], raw[:4], raw[4:]

    def signed_by(self, key):
        """For a log's or a root's key True or False; for a witness's the time of its first good cosignature, or None."""
        for name, hint, signature in self.lines:
            if (name, hint) == (key.name, key.hash):
                good = key.check(self.text, signature)
                if good is not None and good is not False:
                    return good
        return None if key.type == COSIGNER else False


class VKey:
    """<name>+<8 hex>+<base64 of the type and the Ed25519 key>."""

    def __init__(self, text, kind):
        m = re.fullmatch(r"([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
        need(m, f"{text!r} is no vkey")
        typed = strict_base64(m[3])
        self.name, self.hash, self.type, self.raw = m[1], bytes.fromhex(m[2]), typed[0], typed[1:]
        need(self.type == kind and len(self.raw) == 32, f"{text!r} is no Ed25519 key of type {kind}")
        need(sha256(self.name.encode() + b"\n" + typed)[:4] == self.hash, f"the hash of {text!r} does not fit")

    def check(self, text, signature):
        if self.type == LOG:
            return ed25519_good(self.raw, text.encode(), signature)
        if len(signature) != 72 or signature[0] >= 0x80:
            return None
        seconds = int.from_bytes(signature[:8], "big")
        message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
        return seconds if ed25519_good(self.raw, message, signature[8:]) else None


def ed25519_good(raw, message, signature):
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
        return True
    except InvalidSignature:
        return False


class ReleaseKey:
    """A base64 SubjectPublicKeyInfo: ECDSA P-256 or Ed25519."""

    def __init__(self, text):
        der = strict_base64(text)
        try:
            self.key = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm):
            raise Refused("not a public key") from None
        again = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        need(again == der, "not the usual encoding of this key")
        self.id, self.identity = sha256(der), der
        if isinstance(self.key, ed25519.Ed25519PublicKey):
            self.identity = self.key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            need(isinstance(self.key, ec.EllipticCurvePublicKey) and isinstance(self.key.curve, ec.SECP256R1), "neither P-256 nor Ed25519")

    def good(self, message, signature):
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            return True
        except InvalidSignature:
            return False


def number(text, least=0):
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text) and least <= int(text) < 2**63, f"{text!r} is no number of at least {least}")
    return int(text)


class WitnessPolicy:
    """C2SP tlog-policy, in its one form: witness lines, group lines, one quorum line."""

    def __init__(self, lines):
        self.witnesses, self.groups, names, self.quorum = [], [], {"none": True}, None
        need(lines and lines[-1].startswith("quorum "), "no quorum line at the end")
        stage = 0
        for line in lines:
            item, *words = line.split(" ")
            need(all(words) and not any(c.isspace() for c in "".join(words)), f"{line!r} has other than single spaces")
            need(item in ("witness", "group", "quorum"), f"{item!r} is no item of a witness policy")
            at = ("witness", "group", "quorum").index(item)
            need(at >= stage and self.quorum is None, f"{line!r} stands in the wrong place")
            stage = at
            getattr(self, "_" + item)(words, names)
        need(len(self.witnesses) <= 64 and len(self.groups) <= 64, "more than 64 witnesses or groups")

    @staticmethod
    def _define(word, names):
        need(word not in names, f"the name {word} is taken")
        names[word] = False

    def _witness(self, words, names):
        need(len(words) in (2, 3), "a witness has a name, a vkey and perhaps a URL")
        self.witnesses.append((words[0], VKey(words[1], COSIGNER)))
        self._define(words[0], names)

    def _group(self, words, names):
        need(len(words) >= 3, "a group has a name, a threshold and members")
        members = words[2:]
        k = {"any": 1, "all": len(members)}.get(words[1]) or number(words[1], 1)
        need(k <= len(members), "a threshold above the members")
        for m in members:
            need(names.get(m) is False, f"the member {m} is not defined above, or is one already")
            names[m] = True
        self._define(words[0], names)
        self.groups.append((words[0], k, members))

    def _quorum(self, words, names):
        need(len(words) == 1 and words[0] in names, "a quorum line has one name, defined above")
        self.quorum = words[0]

    def quorum_time(self, note):
        """POSIX seconds; None where no cosignature is asked for."""
        if self.quorum == "none":
            return None
        known = {}
        for name, key in self.witnesses:
            at = note.signed_by(key)
            if at is not None:
                known[name] = at
        for name, k, members in self.groups:
            times = sorted((known[m] for m in members if m in known), reverse=True)
            if len(times) >= k:
                known[name] = times[k - 1]
        need(self.quorum in known, "too few cosignatures for the quorum")
        return known[self.quorum]


class Trust:
    """One trust version: a signed note with one item a line."""

    def __init__(self, data):
        need(len(data) <= 256 << 10, "a trust version of more than 256 KiB")
        self.note = Note(data)
        self.digest = sha256(self.note.text.encode()).hex()
        self.lines = self.note.text.split("\n")[:-1]
        need(self._next() == "policylist/trust/v1", "not a trust version")
        self.version = number(self._item("version"), 1)
        need(self.version < 2**53, "a version of 2^53 or more")
        self.expires_text = self._item("expires")
        self.expires = time(self.expires_text)
        self.origin = self._item("origin")
        self.root_k, self.roots = self._keys("root", "release ", lambda line: VKey(line, LOG))
        self.release_k, self.releases = self._keys("release", "log ", ReleaseKey)
        self.log = VKey(self._item("log"), LOG)
        need(self.log.name == self.origin, "the log key is named otherwise than the origin")
        self.witnesses = WitnessPolicy(self.lines)
        raw = [k.raw for k in self.roots + [w for _, w in self.witnesses.witnesses] + [self.log]]
        raw += [k.identity for k in self.releases]
        need(len(set(raw)) == len(raw), "a public key stands twice")

    def _next(self):
        need(self.lines, "the text ends too early")
        return self.lines.pop(0)

    def _item(self, item):
        line = self._next()
        need(line.startswith(item + " "), f"{item} belongs where {line!r} stands")
        return line[len(item) + 1:]

    def _keys(self, item, until, parse):
        k, keys = number(self._item(item), 1), []
        while self.lines and not self.lines[0].startswith(until):
            keys.append(parse(self._next()))
        need(k <= len(keys) <= 64, f"a threshold of {k} for {len(keys)} {item} keys")
        return k, keys

    def roots_signed(self, note):
        need(sum(note.signed_by(k) for k in self.roots) >= self.root_k, f"too few signatures of the roots of version {self.version}")

    def release_signed(self, message, signatures):
        good = {k.id for k in self.releases for s in signatures if strict_base64(s["key"]) == k.id and k.good(message, strict_base64(s["signature"]))}
        need(len(good) >= self.release_k, f"{len(good)} good release signatures, it takes {self.release_k}")


def chain(files, fingerprint):
    """Trust versions by their number: the first by its fingerprint, each other by the one before and itself."""
    versions, last = {}, None
    for data in files:
        t = Trust(data)
        if last is None:
            need(t.digest == fingerprint, "another fingerprint")
        else:
            need(t.version == last.version + 1, "a version does not follow the one before")
            last.roots_signed(t.note)
        t.roots_signed(t.note)
        versions[t.version] = last = t
    return versions
