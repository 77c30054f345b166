#!/usr/bin/env python3
"""Reads TLS reports, one a line of standard input, as RFC 8460 section 4.4 describes them, and prints for each line "ok" and
what it counts, or "no" and why not. Written from the RFC and with Python's standard library alone, so that it shares nothing
with the Go code whose output it judges."""

import ipaddress
import json
import re
import sys
from datetime import datetime

# RFC 3339 section 5.6, in UTC; RFC 8460 section 4.4: "date-time" of start and end.
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
# The IANA registry "STARTTLS Validation Result Types" (RFC 8460 section 6.6).
RESULTS = {
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "tlsa-invalid", "dnssec-invalid",
    "dane-required", "certificate-not-trusted", "sts-policy-invalid", "sts-webpki-invalid", "validation-failure",
    "sts-policy-fetch-error",
}


class Bad(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Bad(why)


def pairs(members):
    names = [name for name, _ in members]
    need(len(names) == len(set(names)), "a member stands twice")
    return dict(members)


def constant(name):
    raise Bad("not JSON: " + name)


def members(value, where, required, optional=()):
    need(isinstance(value, dict), where + " is no object")
    for name in required:
        need(name in value, f"{where} has no {name}")
    for name in value:
        need(name in required or name in optional, f"{where} has {name}")


def text(value, where):
    need(isinstance(value, str) and value, where + " is no text")
    value.encode("utf-8")  # half a surrogate pair has no UTF-8


def count(value, where):
    need(type(value) is int and 0 <= value < 2**53, where + " is no number of sessions")


def domain(value, where):
    text(value, where)
    labels = value.split(".")
    need(len(value) <= 253 and len(labels) > 1 and all(LABEL.match(l) for l in labels), where + " is no domain of A-labels")


def texts(value, where):
    need(isinstance(value, list) and value, where + " is no list")
    for item in value:
        text(item, where)


def moment(value, where):
    text(value, where)
    need(DATE_TIME.match(value), where + " is no RFC 3339 time in UTC")
    return datetime.fromisoformat(value.replace("Z", "+00:00"))


def detail(value):
    members(value, "a failure detail", ["result-type", "failed-session-count"], [
        "sending-mta-ip", "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip", "additional-information", "failure-reason-code"])
    need(value["result-type"] in RESULTS, "result-type is of no registry")
    count(value["failed-session-count"], "failed-session-count")
    for name in ("sending-mta-ip", "receiving-ip"):
        if name in value:
            text(value[name], name)
            need("%" not in value[name], name + " has a zone")
            ipaddress.ip_address(value[name])
    for name in ("receiving-mx-hostname", "receiving-mx-helo", "additional-information", "failure-reason-code"):
        if name in value:
            text(value[name], name)


def policy(value):
    members(value, "a policy", ["policy", "summary"], ["failure-details"])
    which, summary = value["policy"], value["summary"]
    members(which, "policy", ["policy-type", "policy-domain"], ["policy-string", "mx-host"])
    need(which["policy-type"] in ("tlsa", "sts", "no-policy-found"), "policy-type is none of three")
    domain(which["policy-domain"], "policy-domain")
    if "policy-string" in which:
        texts(which["policy-string"], "policy-string")
    if "mx-host" in which:
        texts(which["mx-host"], "mx-host")
        for host in which["mx-host"]:
            domain(host[2:] if host.startswith("*.") else host, "mx-host")
    members(summary, "summary", ["total-successful-session-count", "total-failure-session-count"])
    count(summary["total-successful-session-count"], "total-successful-session-count")
    count(summary["total-failure-session-count"], "total-failure-session-count")
    details = value.get("failure-details", [])
    need(isinstance(details, list), "failure-details is no list")
    for item in details:
        detail(item)
    return summary["total-successful-session-count"], summary["total-failure-session-count"], len(details)


def report(line):
    value = json.loads(line.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    members(value, "the report", ["date-range", "report-id", "policies"], ["organization-name", "contact-info"])
    members(value["date-range"], "date-range", ["start-datetime", "end-datetime"])
    start = moment(value["date-range"]["start-datetime"], "start-datetime")
    need(start <= moment(value["date-range"]["end-datetime"], "end-datetime"), "the range ends before it begins")
    for name in ("organization-name", "contact-info", "report-id"):
        if name in value:
            text(value[name], name)
    need(isinstance(value["policies"], list), "policies is no list")
    counted = [policy(item) for item in value["policies"]]
    return " ".join(str(sum(column)) for column in zip(*counted)) or "0 0 0"


for line in sys.stdin.buffer:
    try:
        print("ok", report(line.rstrip(b"\n")))
    except (Bad, ValueError) as fault:
        print("no", str(fault).encode("ascii", "backslashreplace").decode().replace("\n", " "))
