"""Checkpoints, proofs (C2SP tlog-checkpoint, tlog-proof, tlog-tiles), valid releases, and what a client makes of them."""

import datetime

from canonical import Refused, leaf, need, policy, read_list, release_message, sha256, strict_base64, time, write_list
from notes import Note, number

HOUR = datetime.timedelta(hours=1)


def leaf_hash(entry):
    return sha256(b"\0" + entry)


def join(left, right):
    return sha256(b"\1" + left + right)


class Range:
    """The roots of the perfect subtrees that a tree of some size has, from the left: (leaves, hash)."""

    def __init__(self, parts=()):
        self.parts = list(parts)

    def append(self, entry):
        width, top = 1, leaf_hash(entry)
        while self.parts and self.parts[-1][0] == width:
            top = join(self.parts.pop()[1], top)
            width *= 2
        self.parts.append((width, top))

    def root(self):
        top = None
        for _, left in reversed(self.parts):
            top = left if top is None else join(left, top)
        return top

    def size(self):
        return sum(width for width, _ in self.parts)


def root_from_path(index, size, entry_hash, path):
    """RFC 9162 section 2.1.3.2."""
    fn, sn, top = index, size - 1, entry_hash
    for p in path:
        need(sn > 0, "a path that is too long")
        if fn % 2 or fn == sn:
            top = join(p, top)
            while not fn % 2 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            top = join(top, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "a path that is too short")
    return top


class Checkpoint:
    """A signed tree head, by the keys of one trust version."""

    def __init__(self, data, trust):
        need(len(data) <= 64 << 10, "a checkpoint of more than 64 KiB")
        note = Note(data)
        need(note.signed_by(trust.log), "no good signature of the log key")
        lines = note.text.split("\n")
        need(len(lines) == 4, "a checkpoint has three lines")
        self.origin, self.size, self.root = lines[0], number(lines[1]), strict_base64(lines[2])
        need(self.origin == trust.origin, "the origin of another list")
        need(len(self.root) == 32, "a root has 32 bytes")
        at = trust.witnesses.quorum_time(note)
        self.quorum_time = None if at is None else datetime.datetime.fromtimestamp(at, datetime.timezone.utc)


class Proof:
    """A tlog-proof of a release leaf, nothing verified."""

    def __init__(self, data):
        need(len(data) <= 128 << 10, "a proof of more than 128 KiB")
        head, empty, self.note = data.partition(b"\n\n")
        need(empty, "no empty line before the checkpoint")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise Refused("a proof that is not ASCII") from None
        need(lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) >= 3, "not a tlog-proof with a leaf")
        need(lines[1].startswith("extra ") and lines[2].startswith("index "), "extra and index belong here")
        self.raw, self.index = strict_base64(lines[1][6:]), number(lines[2][6:])
        self.path = [strict_base64(line) for line in lines[3:]]
        need(len(self.path) <= 63 and all(len(p) == 32 for p in self.path), "at most 63 hashes of 32 bytes")
        self.leaf = leaf(self.raw)
        need(self.leaf["kind"] == "release", "not the leaf of a release")

    def verify(self, versions, by):
        """Everything that the file itself can show, its checkpoint by one trust version."""
        self.checkpoint = c = Checkpoint(self.note, by)
        need(self.index < c.size, "an index beyond the tree")
        need(root_from_path(self.index, c.size, leaf_hash(self.raw), self.path) == c.root, "the leaf is not in the tree")
        check_alone(self.leaf, versions)
        r = self.leaf["changes"]
        need(r["from"] <= r["to"] <= self.index <= r["to"] + 64, "its changes do not stand before its leaf")
        self.quorum_time = c.quorum_time or time(self.leaf["timestamp"])
        need(time(self.leaf["timestamp"]) <= self.quorum_time + HOUR, "dated more than an hour after its quorum time")

    def range(self):
        """The range of the whole tree, of which this is the last entry: its path has the roots to the left, smallest first."""
        widths = [1 << bit for bit in range(63) if self.index >> bit & 1]
        need(len(widths) == len(self.path), "not the path of a last entry")
        out = Range(reversed(list(zip(widths, self.path))))
        out.append(self.raw)
        return out


def any_proof(data, versions):
    """A release's proof, the newest's or an old one's: (proof, whether another trust version has followed)."""
    p = Proof(data)
    need(p.leaf["trust"] in versions, "an unknown trust version")
    newest, error = max(versions), None
    for v in range(p.leaf["trust"], newest + 1):
        if versions[v].origin != p.leaf["origin"] and v > p.leaf["trust"]:
            break
        try:
            p.verify(versions, versions[v])
            return p, p.leaf["trust"] < newest
        except Refused as e:
            error = error or e
    raise error


def pointer(data, versions):
    """policy.json.tlog-proof: the newest release, by the newest version, the last entry."""
    p, newest = Proof(data), max(versions)
    need(p.leaf["trust"] >= newest, "the mirror lags: another trust version has followed")
    p.verify(versions, versions[newest])
    need(p.index == p.checkpoint.size - 1, "not the last entry")
    return p


def check_alone(release, versions):
    """What holds of a release leaf whatever came before."""
    need(release["trust"] in versions, "an unknown trust version")
    trust, made, ends = versions[release["trust"]], time(release["timestamp"]), time(release["expires"])
    need(release["origin"] == trust.origin, "the origin of another list")
    life = ends - made
    imported = release["source"].startswith("import:")
    need(life > 0 * HOUR and (imported or 7 * 24 * HOUR <= life <= 30 * 24 * HOUR), f"it lives {life}")
    need(release["release"] >= 1 and (release["release"] == 1) == (release["previous"] == ""), "only number 1 has no previous")
    trust.release_signed(release_message(release), release["signatures"])
    need(made <= trust.expires, "made after the end of its trust version")


def check_list(release, data):
    """The list's bytes are those that were signed. Returns its policies."""
    need(len(data) == release["list"]["size"] and sha256(data).hex() == release["list"]["sha256"], "another size or digest than the leaf says")
    head, policies = read_list(data)
    need(all(head[k] == release[k] for k in ("timestamp", "expires", "author")) and len(policies) == release["count"], "another header or count than the leaf says")
    return policies


class Replay:
    """Applies entries in their order and finds the valid releases among them; the others have no effect."""

    def __init__(self, versions, index, release, raw, policies):
        self.versions, self.next, self.release, self.raw, self.policies = versions, index + 1, release, raw, policies
        self.index, self.trust, self.alarms = index, release["trust"], 0
        self.run, self.trusts = [], 0  # change leaves without a gap just before, trust leaves behind them

    def add(self, entry):
        index = self.next
        self.next += 1
        try:
            value = leaf(entry)
        except Refused:
            self.alarms += 1
            return self._drop(self.run)
        if value["kind"] == "change":
            if self.trusts:
                self._drop(self.run)
            self.run.append(value)
        elif value["kind"] == "trust":
            self.trusts += 1
            self._trust(value)
        else:
            self._release(index, entry, value)

    def _drop(self, changes):
        self.alarms += len(changes)
        self.run, self.trusts = [], 0

    def _trust(self, value):
        t = self.versions.get(value["version"])
        if t and value["version"] == self.trust + 1 and t.digest == value["sha256"]:
            self.trust = value["version"]
        else:
            self.alarms += 1

    def _release(self, index, entry, value):
        try:
            claimed, policies = self._judge(index, value)
        except Refused:
            self.alarms += 1
            return self._drop(self.run)
        self._drop(self.run[:len(self.run) - claimed])
        self.index, self.release, self.raw, self.policies = index, value, entry, policies

    def _judge(self, index, value):
        check_alone(value, self.versions)
        old = self.release
        need(value["origin"] == old["origin"] and value["trust"] == self.trust, "another log, or another trust version than holds here")
        need(value["release"] == old["release"] + 1 and value["previous"] == sha256(self.raw).hex(), "not the release after the last")
        need(time(value["timestamp"]) > time(old["timestamp"]), "not later than the last")
        begin, end = value["changes"]["from"], value["changes"]["to"]
        last = index - self.trusts  # behind the run
        if begin == end and last < end <= index:
            changes = []  # behind trust leaves that an attempt before left
        else:
            need(end == last and last - len(self.run) <= begin <= end, "its range is not the changes just before it")
            changes = self.run[len(self.run) - (end - begin):] if end > begin else []
        policies = apply(self.policies, changes, value["release"])
        data = write_list(value, policies)
        need(len(policies) == value["count"], "another count")
        check_list(value, data)
        return len(changes), policies


def apply(policies, changes, number_):
    out, before = dict(policies), ""
    for c in changes:
        need(c["release"] == number_, "a change with another number")
        need(c["domain"] > before, "changes that are not sorted and unique")
        before = c["domain"]
        if c["op"] == "del":
            need(out.pop(before, None), "a del of what is not there")
        else:
            need(out.get(before) != policy(c["policy"]), "a set that changes nothing")
            out[before] = c["policy"]
    return out


def bundle_entries(data):
    """An entry bundle of C2SP tlog-tiles: each entry behind its length, two bytes, the higher first."""
    out = []
    while data:
        size = int.from_bytes(data[:2], "big")
        need(len(data) >= 2 + size, "a bundle that ends within an entry")
        out.append(data[2:2 + size])
        data = data[2 + size:]
    return out


class Held:
    """What a client has: a release, its list and its tree."""

    def __init__(self, data, list_data, versions):
        p = Proof(data)
        self.proof = pointer(data, {v: t for v, t in versions.items() if v <= p.leaf["trust"]})
        self.policies = check_list(self.proof.leaf, list_data)
        self.range = self.proof.range()


def update(versions, data, list_data, entries, held, now):
    """One update of a client: what it holds afterwards."""
    p, alarms = pointer(data, versions), None
    if held:
        old, new = held.proof.leaf, p.leaf
        if old["origin"] != new["origin"]:
            return new_log(p, list_data, old, now)
        need(p.checkpoint.size >= held.range.size(), "the mirror lags: an older tree")
        if p.checkpoint.size == held.range.size():
            need(p.checkpoint.root == held.range.root(), "a fork: two trees of one size")
        need(new["release"] > old["release"] and time(new["timestamp"]) > time(old["timestamp"]), "not later than what is held")
    if entries is None:
        need(not held, "a held tree takes a consistency proof, or the entries")
        check_list(p.leaf, list_data)
    else:
        all_entries, grown = bundle_entries(entries), held.range
        need(len(all_entries) == p.checkpoint.size, "entries are missing, or too many")
        replay = Replay(versions, held.proof.index, held.proof.leaf, held.proof.raw, held.policies)
        for entry in all_entries[grown.size():]:
            grown.append(entry)
            replay.add(entry)
        need(grown.root() == p.checkpoint.root, "the entries do not lead to the checkpoint's root")
        need(replay.index == p.index, "the newest release leaf is not a valid release")
        alarms = replay.alarms
    return p, freshness(p, now), alarms


def new_log(p, list_data, old, now):
    """The first of another log that this client sees: its tree says nothing of the old one's."""
    need(p.leaf["release"] > old["release"], "the number of a release that was seen already")
    made = time(old["timestamp"])
    need(time(p.leaf["timestamp"]) > made or made > now + HOUR, "not later than what is held")
    check_list(p.leaf, list_data)
    return p, freshness(p, now), None


def freshness(p, now):
    if now >= time(p.leaf["expires"]):
        return "expired"
    fresh = 48 * HOUR
    return "stale" if now - p.quorum_time > fresh or now - time(p.leaf["timestamp"]) > fresh else "fresh"
