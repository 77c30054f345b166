"""Canonical JSON, names, policy.json and the leaves of the log, as schema/README.md says."""

import base64
import binascii
import datetime
import hashlib
import json
import re


class Refused(Exception):
    """What a reader must not take, and why."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def sha256(data):
    return hashlib.sha256(data).digest()


def ascii_text(data):
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("a byte beyond ASCII") from None


def strict_base64(text):
    """Standard base64 with padding, in its one spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{text!r} is not base64") from None
    need(base64.b64encode(raw).decode() == text, f"{text!r} is not the one base64 form")
    return raw


def _no(text):
    raise Refused(f"{text} is not allowed")


def members_once(pairs):
    need(len({name for name, _ in pairs}) == len(pairs), "a name twice in one object")
    return dict(pairs)


def _check(value):
    if isinstance(value, dict):
        for name, member in value.items():
            _check(name)
            _check(member)
    elif isinstance(value, list):
        for member in value:
            _check(member)
    elif isinstance(value, str):
        need(all(" " <= c <= "~" for c in value), "a string beyond 0x20 to 0x7E")
    else:
        need(type(value) is int and 0 <= value < 2**53, f"{value!r} is no integer 0 to 2^53-1")


def decode(text):
    try:
        value = json.loads(text, object_pairs_hook=members_once, parse_float=_no, parse_constant=_no)
    except (ValueError, RecursionError) as e:
        raise Refused(f"not JSON: {e}") from None
    _check(value)
    return value


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(data):
    """The value of bytes that are the one spelling of it."""
    text = ascii_text(data)
    value = decode(text)
    need(encode(value) == text, "not the canonical form")
    return value


def shape(value, **members):
    """value is an object with exactly these members of these types."""
    need(isinstance(value, dict) and value.keys() == members.keys(), f"an object with {sorted(members)} belongs here")
    for name, kind in members.items():
        need(type(value[name]) is kind, f"{name} is no {kind.__name__}")
    return value


LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def name(text):
    labels = text.split(".")
    need(len(text) <= 253 and len(labels) >= 2 and all(map(LABEL.match, labels)) and re.search("[a-z]", labels[-1]), f"{text!r} is not a name")
    return text


def pattern(text):
    need(type(text) is str, "an MX pattern is a string")
    name(text[1:] if text.startswith(".") else text)
    return text


def policy(value):
    shape(value, mode=str, mxs=list)
    need(value["mode"] in ("testing", "enforce"), f"mode {value['mode']!r}")
    mxs = [pattern(m) for m in value["mxs"]]
    need(1 <= len(mxs) <= 16 and mxs == sorted(set(mxs)), "1 to 16 MX patterns, sorted and unique, belong here")
    return value


def time(text):
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text, re.ASCII), f"{text!r} is not a time")
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused(f"{text!r} is not a time") from None


def stamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def author(text):
    need(len(text) <= 256, "an author of more than 256 bytes")
    return text


def write_list(head, policies):
    """The bytes of policy.json."""
    out = "{\n" + f'"timestamp":"{head["timestamp"]}",\n"expires":"{head["expires"]}",\n"version":"0.1",\n'
    out += f'"author":{encode(head["author"])},\n"policy-aliases":{{}},\n"policies":{{\n'
    out += ",\n".join(f'"{d}":{encode(policies[d])}' for d in sorted(policies))
    return (out + ("\n" if policies else "") + "}\n}\n").encode("ascii")


def read_list(data):
    """The header and the policies of policy.json, whose bytes are the only ones for them."""
    value = shape(decode(ascii_text(data)), **{"timestamp": str, "expires": str, "version": str, "author": str, "policy-aliases": dict, "policies": dict})
    need(value["version"] == "0.1" and not value["policy-aliases"], "not version 0.1, or with aliases")
    time(value["timestamp"]), time(value["expires"]), author(value["author"])
    for domain, p in value["policies"].items():
        name(domain), policy(p)
    need(write_list(value, value["policies"]) == data, "not the one form of this list")
    return value, value["policies"]


CODE = re.compile(r"[a-z0-9.-]{0,64}\Z")


def digest(text, empty=False):
    need(re.fullmatch("[0-9a-f]{64}", text) or empty and text == "", f"{text!r} is no SHA-256 in lower-case hex")


def leaf(data):
    """A leaf of the log, as a dict."""
    need(len(data) <= 65535, "an entry of more than 65,535 bytes")
    value = canonical(data)
    need(isinstance(value, dict), "not an object")
    kind = value.get("kind")
    need(kind in ("change", "trust", "release"), "a leaf is a change, a trust or a release")
    {"change": _change, "trust": _trust, "release": _release}[kind](value)
    return value


def _change(value):
    if value.get("op") == "set":
        shape(value, domain=str, kind=str, op=str, policy=dict, reason=str, release=int)
        policy(value["policy"])
    else:
        shape(value, domain=str, kind=str, op=str, reason=str, release=int)
        need(value["op"] == "del", "set or del")
    name(value["domain"])
    need(value["reason"] and CODE.match(value["reason"]), "a reason is a code")


def _trust(value):
    shape(value, kind=str, sha256=str, version=int)
    digest(value["sha256"])


def _release(value):
    shape(value, author=str, changes=dict, count=int, evidence=str, expires=str, kind=str, list=dict, origin=str, override=str,
          previous=str, release=int, signatures=list, source=str, timestamp=str, trust=int)
    shape(value["changes"], **{"from": int, "to": int})
    shape(value["list"], sha256=str, size=int)
    digest(value["list"]["sha256"])
    digest(value["evidence"], empty=True)
    digest(value["previous"], empty=True)
    author(value["author"]), time(value["timestamp"]), time(value["expires"])
    need(len(value["origin"]) <= 256 and len(value["source"]) <= 256, "an origin or a source of more than 256 bytes")
    need(CODE.match(value["override"]), "an override is a code")
    need(1 <= len(value["signatures"]) <= 64, "1 to 64 signatures")
    for s in value["signatures"]:
        shape(s, key=str, signature=str)
        need(len(strict_base64(s["key"])) == 32, "a key's ID has 32 bytes")
        need(len(s["signature"]) <= 1024 and strict_base64(s["signature"]), "a signature has 1 to 1,024 letters of base64")


def release_message(value):
    """What the release keys sign."""
    unsigned = {k: v for k, v in value.items() if k != "signatures"}
    return f"policylist/release/v1\n{value['origin']}\n{encode(unsigned)}".encode("ascii")
