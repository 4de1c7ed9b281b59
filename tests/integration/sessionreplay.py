"""Holds the talks of sessiontalk.py: first each with PostgreSQL alone, which writes the talk and its answers down, then
all of them at once through pgweir. What came the first time must come the second time, turn by turn.

In each round a few of the clients send their next turn before any of them reads: they are served at once, in an order
that is the seed's.
"""

import random
import struct
import time
from typing import NamedTuple

from compare import normalized
from rawwire import Wire, WireError, WireTimeout, query
from sessiontalk import BOSS, SessionTalk, Turn, create_world
from waiting import PATIENCE

HASTE = 1.5                         # while a failing story is made short
HISTORY = 25                        # turns of the client that are told when it differs


class Told(NamedTuple):
    """What a turn brought: replies; reports of parameters; at quiet points what was heard since the last one."""

    replies: list
    reports: list
    heard: list


class Difference(Exception):
    """number: of the client; index: of its turn."""

    def __init__(self, number, index, what):
        super().__init__(f"client {number}, turn {index}: {what}")
        self.number = number
        self.index = index
        self.what = what


def comparable(reply):
    """A RowDescription says from which table a column comes: each time another OID. And errors and notices say what is
    missing: the temporary table or, as long as a server has had none, the schema of them all."""
    kind, body = reply
    if kind in "EN" and "does not exist, skipping" in dict(body)["M"]:
        return kind, "does not exist, skipping"
    if kind in "EN" and "pg_temp" in dict(body)["M"] and "does not exist" in dict(body)["M"]:
        return kind, GONE
    if kind != "T":
        return reply
    count, = struct.unpack_from("!h", body)
    columns, at = [], 2
    for _ in range(count):
        name, _, tail = body[at:].partition(b"\0")
        table, *rest = struct.unpack_from("!ihihih", tail)
        columns.append((name.decode(), table != 0, *rest))
        at += len(name) + 1 + 18
    return kind, tuple(columns)


def sqlstate(reply):
    return dict(reply[1]).get("C") if reply[0] == "E" and isinstance(reply[1], tuple) else None


class Talker:
    """One client's connection and what it has heard."""

    def __init__(self, address, startup, patience=PATIENCE):
        self.wire = Wire(address, timeout=patience)
        self.wire.login(BOSS, "app", parameters=startup)
        self.heard = []

    def send(self, turn):
        self.wire.send(turn.data)

    def read(self, turn, due=None):
        """(raw replies, Told). due: how many notifications must have come at a quiet point; None: those here."""
        raw = self.wire.read_until("Z", turn.syncs)
        self._hear(raw)
        while turn.is_quiet and due is not None and len(self.heard) < due:
            try:
                self._hear([self.wire.read()])
            except WireTimeout:
                break
        heard = []
        if turn.is_quiet:
            heard, self.heard = self.heard, []
        rest = [reply for reply in raw if reply.type != "A"]
        return raw, Told([comparable(reply) for reply in normalized(rest)],
                         sorted(reply.parameter for reply in rest if reply.type == "S"), heard)

    def _hear(self, replies):
        self.heard += [tuple(reply.body[4:-1].decode().split("\0")) for reply in replies if reply.type == "A"]


def quiet_end():
    return [Turn("ROLLBACK (the end)", query("ROLLBACK")), Turn("(quiet, the end)", query("SELECT 'quiet'"), 1, True)]


def record(address, seed, number, steps, without=()):
    """A talk with PostgreSQL: its turns, and what they brought."""
    talk = SessionTalk(seed, number, without)
    talker = Talker(address, talk.startup())
    turns, told = [], []
    end = quiet_end()
    while len(turns) < steps + len(end):
        turn = talk.turn() if len(turns) < steps else end[len(turns) - steps]
        talker.send(turn)
        raw, what = talker.read(turn)
        talk.heard(turn, raw)
        turns.append(turn)
        told.append(what)
    talker.wire.leave()
    return turns, told


def record_again(address, startup, turns):
    """What given turns bring."""
    talker = Talker(address, startup)
    told = []
    for turn in turns:
        talker.send(turn)
        told.append(talker.read(turn)[1])
    talker.wire.leave()
    return told


def shorter(value, limit=1500):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"


GONE = "something temporary does not exist"


def with_due_replies(expected, found, is_execute):
    """An EXECUTE of what can't be prepared on this server any more is described as having no rows, then it fails as it
    would have (where it is described before it is bound, without its parameters); within a transaction it fails at its
    Parse or Bind already. A statement that is out of sight of another role is parsed again there, which fails before the
    parameters of its Bind are counted: docs/sessions.md, known limits."""
    at = 0
    while at < min(len(expected), len(found)):
        error = next(i for i in range(at, len(expected) + 1) if i == len(expected) or expected[i][0] not in "12nt")
        if expected[at] == found[at]:
            at += 1
        elif sqlstate(expected[at]) == "08P01" and sqlstate(found[at]) == "42P01":
            found = found[:at] + expected[at:at + 1] + found[at + 1:]
        elif found[at] == ("n", b"") and found[at + 1:at + 2] == expected[at:at + 1] and expected[at][0] == "E":
            found = found[:at] + found[at + 1:]
        elif expected[at][0] == "t" and found[at][0] == "E" and expected[at + 1:at + 2] == [found[at]]:
            found = found[:at] + expected[at:at + 1] + found[at:]
        elif is_execute and found[at][0] == "E" and expected[error:error + 1] == [found[at]]:
            found = found[:at] + expected[at:error] + found[at:]
        elif is_execute and sqlstate(expected[at]) == "25P02" and sqlstate(found[at]) == "26000":     # as its Parse has failed
            found = found[:at] + expected[at:at + 1] + found[at + 1:]
        else:
            break
    return found


def compare(number, index, expected, found, is_execute):
    for part in Told._fields:
        one, two = getattr(expected, part), getattr(found, part)
        if part == "replies":
            two = with_due_replies(one, two, is_execute)
        if one != two:
            same = 0                        # from the first that differs
            while same < min(len(one), len(two)) and one[same] == two[same]:
                same += 1
            raise Difference(number, index, f"{part}, from the {same + 1}. on\n    expected {shorter(one[same:])}\n"
                                            f"    got      {shorter(two[same:])}")


def replay(address, seed, startups, talks, expected, patience=PATIENCE):
    """All talks at once. Raises the first Difference."""
    chance = random.Random(f"{seed} order")
    talkers = [Talker(address, startup, patience) for startup in startups]
    at = [0] * len(talks)
    try:
        while going := [number for number, turns in enumerate(talks) if at[number] < len(turns)]:
            now = chance.sample(going, chance.randint(1, len(going)))
            for number in now:
                talkers[number].send(talks[number][at[number]])
            for number in now:
                turn, told = talks[number][at[number]], expected[number][at[number]]
                try:
                    found = talkers[number].read(turn, len(told.heard))[1]
                except WireError as error:
                    raise Difference(number, at[number], f"{error!r}\n    expected {shorter(told)}") from error
                compare(number, at[number], told, found, turn.label.startswith("EXECUTE"))
                at[number] += 1
    finally:
        for talker in talkers:
            talker.wire.close()


class Story:
    """The talks of one seed. run() raises AssertionError that tells what differed and how it came about."""

    def __init__(self, weir, seed, clients, steps, without=()):
        self.weir = weir
        self.direct = (weir.postgres.host, weir.postgres.port)
        self.seed = seed
        self.without = without
        self.startups = [SessionTalk(seed, number, without).startup() for number in range(clients)]
        create_world(weir.postgres, without)
        self.talks, self.expected = map(list, zip(*(record(self.direct, seed, number, steps, without)
                                                    for number in range(clients))))

    def run(self):
        try:
            self._replay(self.talks, self.expected)
        except Difference as difference:
            raise AssertionError(self.told(difference)) from None

    def _replay(self, talks, expected, patience=PATIENCE):
        create_world(self.weir.postgres, self.without)
        replay(self.weir.address, self.seed, self.startups, talks, expected, patience)

    def told(self, difference):
        turns = self.talks[difference.number]
        first = max(0, difference.index - HISTORY)
        lines = [f"seed {self.seed}, client {difference.number}, turn {difference.index}: "
                 f"{turns[difference.index].label!r}", f"  {difference.what}", "  what this client had said before:"]
        if first == 0:
            lines.append(f"    startup {self.startups[difference.number]}")
        lines += [f"    {index:4} {turns[index].label!r}" for index in range(first, difference.index)]
        return "\n".join(lines)

    # --- making a failing story short ---

    def shrink(self, seconds=180):
        """Leaves out turns as long as something still differs; None if nothing does, else the story that is left."""
        until = time.monotonic() + seconds
        difference = self._difference(self.talks)
        if difference is None:
            return None
        kept = [turns[:difference.index + 1] if number == difference.number else turns
                for number, turns in enumerate(self.talks)]
        size = max(map(len, kept)) // 2
        while size and time.monotonic() < until:
            is_smaller = False
            for number in range(len(kept)):
                begin = 0
                while begin < len(kept[number]) and time.monotonic() < until:
                    tried = [list(turns) for turns in kept]
                    del tried[number][begin:begin + size]
                    found = self._difference(tried)
                    if found is not None:
                        kept, difference, is_smaller = tried, found, True
                        kept[found.number] = kept[found.number][:found.index + 1]
                    else:
                        begin += size
            size = size if is_smaller and size == 1 else size // 2
        self.talks = kept
        lines = [f"seed {self.seed}, made short. {difference}"]
        for number, turns in enumerate(kept):
            if turns:
                lines.append(f"  client {number}, startup {self.startups[number]}")
                lines += [f"    {index:4} {turn.label!r}" for index, turn in enumerate(turns)]
        return "\n".join(lines)

    def _difference(self, talks):
        create_world(self.weir.postgres, self.without)
        try:
            expected = [record_again(self.direct, startup, turns) for startup, turns in zip(self.startups, talks)]
        except WireError:
            return None                     # no talk to hold with PostgreSQL either
        self.weir.postgres.kill_backends()  # each try begins with fresh servers
        try:
            self._replay(talks, expected, HASTE)
        except Difference as difference:
            return difference
        return None
