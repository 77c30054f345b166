"""A second reader of the formats, written from schema/README.md and independent of the Go code. For tests.

    python3 schema/testdata/reader vectors schema/testdata/vectors/log.json      judge each vector; exit 1 where one is judged otherwise
    python3 schema/testdata/reader folder public --fingerprint HEX --now TIME    verify a mirror's folder
"""

import argparse
import base64
import datetime
import json
import pathlib
import sys

from bundle import check_bundle, check_openpgp
from canonical import Refused, leaf, need, read_list, release_message, sha256, stamp, time
from log import Checkpoint, Held, any_proof, check_list, freshness, leaf_hash, pointer, update
from notes import chain


def stamp_or_empty(at):
    return stamp(at) if at else ""


def judge(v, read):
    """What a reader finds in what it accepts; raises Refused."""
    kind, data = v["kind"], read(v["file"]) if "file" in v else None
    if kind == "list":
        head, policies = read_list(data)
        return {"domains": str(len(policies)), "sha256": sha256(data).hex(), "timestamp": head["timestamp"]}
    if kind == "leaf":
        value = leaf(data)
        found = {"kind": value["kind"], "leaf-hash": base64.b64encode(leaf_hash(data)).decode()}
        if value["kind"] == "release":
            found["signed-sha256"] = sha256(release_message(value)).hex()
        return found
    if kind == "openpgp":
        made = check_openpgp(read(v["key"]), data, read(v["list"]), time(v["now"]))
        return {"signed": stamp(datetime.datetime.fromtimestamp(made, datetime.timezone.utc))}
    versions = chain([read(name) for name in v["trust"]], v.get("fingerprint") or read("fingerprint").decode())
    newest = versions[max(versions)]
    if kind == "trust":
        return {"version": str(newest.version), "origin": newest.origin, "expires": newest.expires_text}
    if kind == "checkpoint":
        c = Checkpoint(data, newest)
        return {"origin": c.origin, "size": str(c.size), "root": base64.b64encode(c.root).decode(), "quorum-time": stamp_or_empty(c.quorum_time)}
    if kind == "proof":
        p, superseded = any_proof(data, versions)
        return {"release": str(p.leaf["release"]), "index": str(p.index), "superseded": str(superseded).lower()}
    if kind == "bundle":
        check_bundle(data, newest, read(v["list"]))
        return {}
    need(kind == "client", f"an unknown kind {kind}")
    held = Held(read(v["held"]["file"]), read(v["held"]["list"]), versions) if "held" in v else None
    entries = read(v["entries"]) if "entries" in v else None
    p, fresh, alarms = update(versions, data, read(v["list"]) if "list" in v else None, entries, held, time(v["now"]))
    found = {"release": str(p.leaf["release"]), "freshness": fresh, "quorum-time": stamp(p.quorum_time), "list-sha256": p.leaf["list"]["sha256"]}
    if alarms is not None:
        found["alarms"] = str(alarms)
    return found


def vectors(manifest):
    folder, wrong = manifest.parent, 0
    cases = json.loads(manifest.read_text())
    for v in cases:
        try:
            verdict, found = "accept", judge(v, lambda name: (folder / name).read_bytes())
        except Refused as e:
            verdict, found = "refuse", str(e)
        if verdict != v["verdict"] or verdict == "accept" and found != v.get("result", {}):
            wrong += 1
            print(f"WRONG {v['kind']}/{v['name']} ({v['why']}): {verdict} {found}, expected {v['verdict']} {v.get('result')}")
        else:
            print(f"ok    {v['kind']}/{v['name']}: {verdict} {found}")
    print(f"{len(cases)} vectors, {wrong} judged otherwise")
    return 1 if wrong or not cases else 0


def folder(where, fingerprint, now):
    """A mirror's folder by one fingerprint: trust, pointer, checkpoint, list and bundle."""
    files = [f for f in (where / "trust").iterdir() if f.name.isdigit()]
    versions = chain([f.read_bytes() for f in sorted(files, key=lambda f: int(f.name))], fingerprint)
    newest = versions[max(versions)]
    p = pointer((where / "policy.json.tlog-proof").read_bytes(), versions)
    need((where / "checkpoint").read_bytes() == p.note, "checkpoint is not the proof's")
    c = Checkpoint((where / "checkpoint").read_bytes(), newest)
    data = (where / "policy.json").read_bytes()
    check_list(p.leaf, data)
    check_bundle((where / "policy.json.sigstore.json").read_bytes(), newest, data)
    print(f"release {p.leaf['release']} of {c.origin}, {p.leaf['count']} domains, entry {p.index} of {c.size}, trust version {newest.version}, {freshness(p, now)}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("vectors").add_argument("manifest", type=pathlib.Path)
    one = commands.add_parser("folder")
    one.add_argument("folder", type=pathlib.Path)
    one.add_argument("--fingerprint", required=True)
    one.add_argument("--now", type=time, required=True)
    args = parser.parse_args()
    if args.command == "vectors":
        return vectors(args.manifest)
    try:
        return folder(args.folder, args.fingerprint, args.now)
    except Refused as e:
        print(f"refused: {e}")
        return 1


sys.exit(main())
