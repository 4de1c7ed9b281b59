"""A checker of four guarantees of a session: read your writes, monotonic reads, monotonic writes, writes follow reads.

Each key has a list of writes that only grows: its length n, and the last of its entries, which are the writes' numbers. A
read shows all keys in one snapshot. A session remembers of each key the newest entry that it has written or was shown (its
memory), and each write remembers its writer's memory from when it was sent. All follows from one question, whether a
snapshot *has* an entry: key, place in the list, number.

  read your writes      a read has each entry that its session has written before, once the COMMIT was acknowledged
  monotonic reads       ... each entry that its session was shown before: by a read on any host, by the RETURNING of a write
                        (which shows what it is appended to), or by a notification
  monotonic writes      a read of anybody, on any host, that has a write has what the writer has written before that
  writes follow reads   ... and what the writer was shown before that, wherever it was
  whole transactions    a snapshot that has one write of a transaction has all of them (the checker's own foundation)

These hold for each session by itself, which is one connection to one address; a new connection has an empty memory. The last
two speak of everybody's snapshots, for the writer's session has seen to the order on the primary. Requests of one pipeline
count one after the other: a read behind a write has that write, and a write behind a read follows what that has shown.
A write whose COMMIT was not acknowledged may be there or not, and binds nobody until it is shown.

Not claimed, not checked: an order of what two sessions see of two others (PostgreSQL's long fork), or anything between
sessions that tell each other by other ways than the database's.

After a failover, what the new primary has not got is lost. A session whose memory, or part of it, may be lost is told so
once, ahead of its next reply, by WARNING 01000; that empties its memory, and unbinds the write it was told with. A session
that finds something missing without having been told is a violation, and so is being told without a failover.
"""

import collections
import dataclasses
import random
import statistics
import threading
import time

import rawwire
from rawwire import query

KEPT = 24                   # entries of each list that a row shows
FORGET_AFTER = 120.0        # seconds: no snapshot is so old that the memory of a write of before then matters
TOLD = "not on the new primary"

READ_YOUR_WRITES = "read your writes"
MONOTONIC_READS = "monotonic reads"
MONOTONIC_WRITES = "monotonic writes"
WRITES_FOLLOW_READS = "writes follow reads"
WHOLE = "whole transactions"
ROUTING = "only marked reads leave the primary"
ONE_HOST = "a block stays on one host"
TOLD_FALSELY = "a loss is told after a failover only"
GUARANTEES = (READ_YOUR_WRITES, MONOTONIC_READS, MONOTONIC_WRITES, WRITES_FOLLOW_READS)

SCHEMA = f"""
    DROP TABLE IF EXISTS kv;
    CREATE TABLE kv (key int PRIMARY KEY, n bigint NOT NULL, ids int[] NOT NULL) WITH (fillfactor = 20, autovacuum_enabled = off);
    INSERT INTO kv SELECT key, 1, ARRAY[0] FROM generate_series(0, %d) key;
    GRANT ALL ON kv TO web
"""
SELECT = ("SELECT inet_server_port(), pg_is_in_recovery(), pg_last_wal_replay_lsn(), pg_current_snapshot(), "
          "string_agg(n || ':' || array_to_string(ids, ','), ' ' ORDER BY key) FROM kv")
APPEND = ("UPDATE kv SET n = n + 1, ids = (ids || {id})[greatest(1, cardinality(ids) - %d):] WHERE key = {key} "
          "RETURNING key, n, array_to_string(ids, ',')" % (KEPT - 2))


# --- The judge, which knows no database. ---

@dataclasses.dataclass(slots=True)
class Op:
    """Something that a session was answered: what it was, when, and where."""
    session: str
    kind: str                   # "read", "read on the primary", "write", "notification"
    begun: float
    ended: float
    port: str = ""
    is_standby: bool = False
    where: str = ""             # replayed position and snapshot
    lists: tuple = ()           # of a read, by key: (n, the last ids)

    def has(self, key, n, number):
        length, ids = self.lists[key]
        if n > length:
            return False
        back = length - n
        return back >= len(ids) or ids[-1 - back] == number

    def __str__(self):
        host = f"{'standby' if self.is_standby else 'primary'} {self.port}" if self.port else ""
        return f"{self.kind} of {self.session}, {self.begun:.4f} to {self.ended:.4f} s, {host} {self.where}"


@dataclasses.dataclass(slots=True)
class Entry:
    """Of a session's memory: this write stands at place n of the key's list, as op has shown."""
    n: int
    id: int
    op: Op
    is_own: bool


@dataclasses.dataclass(slots=True)
class Write:
    session: str
    sent: float
    needs: dict                 # the writer's memory: {key: Entry}
    parts: list                 # all writes of the transaction that are answered: [(key, n, id)]
    is_unbound: bool = False    # its writer was told of a loss with it


@dataclasses.dataclass(slots=True)
class Violation:
    guarantee: str
    op: Op                      # the read that lacks something
    key: int
    need: Entry                 # what it lacks
    write: Write | None         # whose writer had seen that; None: the reader itself
    phases: str = ""            # what was done to the hosts meanwhile

    def __str__(self):
        n, ids = self.op.lists[self.key] if self.op.lists else (0, ())
        text = f"{self.guarantee}:\n    {self.op}\n    shows list {self.key} up to {n}: ...{list(ids[-4:])}\n"
        if self.need:
            text += f"    and lacks {self.need.id} at {self.need.n}, known from\n    {self.need.op}\n"
        if self.write:
            text += f"    to {self.write.session}, which has then written what the read has (sent at {self.write.sent:.4f} s)\n"
        return text + (f"    meanwhile: {self.phases}\n" if self.phases else "")


class Judge:
    """What all sessions have written, and which reads were wrong. Any thread may call it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.begin = time.monotonic()
        self.writes = collections.OrderedDict()
        self.suspected = []                     # until nobody can be told of a loss any more
        self.failover_count = 0
        self.told_count = 0
        self.needless_count = 0                 # a loss was told to a session that has lost nothing
        self._number = 0

    def now(self):
        return time.monotonic() - self.begin

    def next_number(self):
        with self.lock:
            self._number += 1
            return self._number

    def new_write(self, number, session, memory, parts):
        """Before it is sent."""
        now = self.now()
        with self.lock:
            while self.writes and next(iter(self.writes.values())).sent < now - FORGET_AFTER:
                self.writes.popitem(last=False)
            self.writes[number] = write = Write(session, now, dict(memory), parts)
        return write

    def suspect(self, *violation):
        self.suspected.append(Violation(*violation))

    def read(self, op, memory):
        """Looks at what a read has shown, and adds it to its session's memory."""
        with self.lock:
            self._look_back(op, memory)
            self._look_at_others(op, memory)
        for key, (n, ids) in enumerate(op.lists):
            old = memory.get(key)
            if old is None or n > old.n or not op.has(key, old.n, old.id) and n == old.n:
                memory[key] = Entry(n, ids[-1], op, False)

    def _look_back(self, op, memory):
        found = {}
        for key, need in memory.items():
            if not op.has(key, need.n, need.id):
                found[READ_YOUR_WRITES if need.is_own else MONOTONIC_READS] = (key, need)
        for guarantee, (key, need) in found.items():
            self.suspect(guarantee, op, key, need, None)

    def _look_at_others(self, op, memory):
        """Of each list those entries that are new to the session, and the last three: others were looked at before."""
        for key, (n, ids) in enumerate(op.lists):
            old = memory.get(key)
            new = min(len(ids), max(3, n - old.n if old else len(ids)))
            for number in ids[-new:]:
                write = self.writes.get(number)
                if write is not None and not write.is_unbound:
                    self._look_at_write(op, write)

    def _look_at_write(self, op, write):
        for key, need in write.needs.items():
            if not op.has(key, need.n, need.id):
                self.suspect(MONOTONIC_WRITES if need.is_own else WRITES_FOLLOW_READS, op, key, need, write)
                return
        for key, n, number in write.parts:
            if not op.has(key, n, number):
                self.suspect(WHOLE, op, key, Entry(n, number, op, False), write)
                return

    def told(self, op, memory, writes):
        """A session is told that something of its memory is lost."""
        with self.lock:
            self.told_count += 1
            if not self.failover_count:
                self.suspect(TOLD_FALSELY, op, 0, None, None)
            for write in writes:
                write.is_unbound = True
        memory.clear()

    def violations(self):
        with self.lock:
            return [v for v in self.suspected if v.write is None or not v.write.is_unbound]


# --- Sessions. ---

class Lost(Exception):
    """The session is gone."""


def pieces_of(text):
    lists = []
    for item in text.split(" "):
        n, _, ids = item.partition(":")
        lists.append((int(n), tuple(map(int, ids.split(",")))))
    return tuple(lists)


BEGINS = ("BEGIN READ ONLY", "START TRANSACTION READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
          "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", "begin transaction read only")


def sync_each(*statements):
    return b"".join(rawwire.one_statement(sql) + rawwire.sync() for sql in statements)


def read_steps(begin):
    return [(query(begin), 1), (query(SELECT), 1), (query("COMMIT"), 1)]


def read_twice(begin):
    return [(query(begin), 1), (query(SELECT), 1), (query(SELECT), 1), (query("COMMIT"), 1)]


def read_in_one_write(begin):
    return [(query(begin) + query(SELECT) + query("COMMIT"), 3)]


def read_extended(begin):
    return [(sync_each(begin), 1), (sync_each(SELECT), 1), (sync_each("COMMIT"), 1)]


def read_pipelined(begin):
    return [(sync_each(begin, SELECT, "COMMIT"), 3)]


def read_behind_one_sync(begin):
    return [(b"".join(map(rawwire.one_statement, (begin, SELECT, "COMMIT"))) + rawwire.sync(), 1)]


def read_one_query(begin):
    return [(query(f"{begin}; {SELECT}; COMMIT"), 1)]


READS = (read_steps, read_steps, read_steps, read_twice, read_in_one_write, read_extended, read_pipelined, read_behind_one_sync,
         read_one_query)


class Session:
    """One client: a connection, its memory, and what it does by chance. connect(): a rawwire.Wire, logged in."""

    def __init__(self, run, name, connect, role):
        self.run, self.judge, self.connect, self.role = run, run.judge, connect, role
        self.chance = random.Random(f"{run.seed} {name}")
        self.name, self.life = name, 0
        self.wire, self.memory, self.told_of, self.writing, self.heard, self.asked_at = None, {}, None, [], [], 0.0
        self.has_shown = False      # rows, by the block that is read in
        self.shown_at = None        # when the first of them had come

    # What is asked.

    def work(self):
        try:
            while not self.run.is_over.is_set():
                try:
                    if self.wire is None:
                        self._log_in()
                    self._one()
                except (Lost, rawwire.WireError, OSError) as error:
                    self.run.count_error("session", error, self.has_shown or " D" in str(error) or "; 0 bytes" not in str(error))
                    self._leave()
                    self.run.is_over.wait(0.02)
                if self.run.pause:
                    self.run.is_over.wait(self.chance.expovariate(1 / self.run.pause))
        except Exception as error:  # pylint: disable=broad-except
            self.run.crashed.append(error)
        finally:
            self._leave()

    def _log_in(self):
        self.life += 1
        self.memory, self.told_of, self.heard = {}, None, []
        self.wire = self.connect(self)
        if self.role == "reader":
            self._ask("set", query("SET default_transaction_read_only = on"))
        elif self.run.is_replicated:
            self._ask("set", query(f"SET synchronous_commit = {self.chance.choice(('on', 'on', 'off', 'local'))}"))
        if self.role == "listener":
            self._ask("set", query("LISTEN told"))

    def _leave(self):
        if self.wire is not None:
            self.wire.close()
        self.wire = None

    def _one(self):
        if self.role == "reader":
            self._read([(query(SELECT), 1)] if self.chance.random() < 0.7 else [(sync_each(SELECT), 1)])
            return
        chance = self.chance.random()
        if chance < self.run.read_share:
            self._read(self.chance.choice(self.run.reads)(self.chance.choice(BEGINS)))
        elif chance < self.run.read_share + 0.1:
            self._read([(query(SELECT), 1)] if self.chance.random() < 0.4 else read_steps("BEGIN"), "read on the primary")
        else:
            self.chance.choice(self.run.writes)(self)

    # Reads.

    def _read(self, steps, kind="read"):
        begun = self.judge.now()
        ports, self.has_shown, self.shown_at = set(), False, None
        for message, count in steps:
            replies = self._ask(kind, message, count)
            if replies is None:
                return
            ports |= {op.port for op in self._shown(replies, kind)}
            self.has_shown = bool(ports)
        if len(ports) > 1:
            self.judge.suspect(ONE_HOST, Op(self.name, kind, begun, self.judge.now(), str(ports)), 0, None, None)
        self.run.timed(kind, begun, self.shown_at, self.judge.now())

    def _shown(self, replies, kind, begun=None):
        """Judges the snapshots among these replies. Returns the Ops."""
        ops, now = [], self.judge.now()
        for row in rawwire.texts(replies):
            if len(row) != 5:
                continue
            op = Op(self._full_name(), kind, begun if begun is not None else self.asked_at, now, row[0], row[1] == "t",
                    f"{row[2] or ''} {row[3]}", pieces_of(row[4]))
            self._after_a_loss(op)
            self.judge.read(op, self.memory)
            self.run.done(op)
            if op.is_standby and kind != "read" and self.run.is_strict:
                self.judge.suspect(ROUTING, op, 0, None, None)
            ops.append(op)
        return ops

    def _after_a_loss(self, op):
        if self.told_of is not None:
            if all(op.has(key, need.n, need.id) for key, need in self.told_of.items()):
                self.judge.needless_count += 1
            self.told_of = None

    # Writes.

    def _new(self, key=None):
        """The SQL of a write, which is on record from now on."""
        number = self.judge.next_number()
        key = self.chance.randrange(self.run.keys) if key is None else key
        parts = self.writing[0].parts if self.writing else []
        self.writing.append(self.judge.new_write(number, self._full_name(), self.memory, parts))
        return APPEND.format(key=key, id=number)

    def _appended(self, replies):
        """RETURNING has shown what was there. Returns the new entries: they count when they are committed."""
        new = []
        for row in rawwire.texts(replies):
            if len(row) == 3:
                key, n, ids = int(row[0]), int(row[1]), tuple(map(int, row[2].split(",")))
                op = Op(self._full_name(), "write", self.asked_at, self.judge.now(), where=f"list {key}: {ids[-1]} at {n}")
                new.append((key, n, ids[-1], op))
                if len(ids) > 1:
                    self._remember(key, n - 1, ids[-2], op, False)
        return new

    def _committed(self, new):
        for key, n, number, op in new:
            self._remember(key, n, number, op, True)
            self.run.write_count += 1
        if len(new) > 1:
            self.writing[0].parts.extend((key, n, number) for key, n, number, _ in new)

    def _remember(self, key, n, number, op, is_own):
        """Newest entry that is known. One that stands where another number was is of another history: whoever reads will see."""
        old = self.memory.get(key)
        if old is None or n > old.n:
            self.memory[key] = Entry(n, number, op, is_own)

    def write_alone(self):
        self._write(lambda: self._send_write(query(self._new())))

    def write_extended(self):
        self._write(lambda: self._send_write(sync_each(self._new())))

    def _send_write(self, message):
        replies = self._ask("write", message)
        if replies is not None:
            self._committed(self._appended(replies))

    def write_in_block(self):
        """One or two keys, in the order of their numbers; some look around first, some tell listeners."""
        def run():
            if self._ask("write", query("BEGIN")) is None:
                return
            new, chance = [], self.chance.random()
            if chance < 0.2:
                replies = self._ask("write", query(SELECT))
                if replies is None:
                    return
                self._shown(replies, "read on the primary")
            if chance > 0.6 and self.run.is_replicated and self._ask("write", query("SET LOCAL synchronous_commit = off")) is None:
                return
            keys = sorted(self.chance.randrange(self.run.keys) for _ in range(self.chance.choice((1, 1, 2))))
            for key in keys:
                replies = self._ask("write", query(self._new(key)))
                if replies is None:
                    return
                new += self._appended(replies)
            if self.run.has_listeners and self.chance.random() < 0.3:
                key, n, number, _ = new[-1]
                if self._ask("write", query(f"SELECT pg_notify('told', '{key} {n} {number}')")) is None:
                    return
            replies = self._ask("write", query("COMMIT"))
            if replies is not None and any(reply.type == "C" and reply.tag == "COMMIT" for reply in replies):
                self._committed([entry for i, entry in enumerate(new) if entry[0] not in {other[0] for other in new[i + 1:]}])

        self._write(run)

    def read_then_write_at_once(self):
        """In one write to the socket: what is written follows what the read ahead of it has shown."""
        def run():
            sql = self._new()
            replies = self._ask("read, write", query("BEGIN READ ONLY") + query(SELECT) + query("COMMIT") + query(sql), 4)
            if replies is not None:
                self._shown(replies, "read")
                self.writing[0].needs.update(self.memory)
                self._committed(self._appended(replies))

        self._write(run)

    def write_then_read_at_once(self):
        def run():
            sql = self._new()
            replies = self._ask("write, read", query(sql) + query("BEGIN READ ONLY") + query(SELECT) + query("COMMIT"), 4)
            if replies is not None:
                self._committed(self._appended(replies))
                self._shown(replies, "read")

        self._write(run)

    def _write(self, run):
        self.writing, self.has_shown = [], False
        try:
            run()
        finally:
            self.writing = []

    # The wire.

    def _full_name(self):
        return f"{self.name}.{self.life}"

    def _ask(self, kind, message, count=1):
        """All replies; None if the request failed and its block is over."""
        self._listen()
        self.asked_at = self.judge.now()
        try:
            self.wire.send(message)
            replies = []
            for _ in range(count):
                replies += self.wire.read_until("Z")
                if not self.has_shown and any(reply.type == "D" for reply in replies):
                    self.has_shown, self.shown_at = True, self.judge.now()
        except (rawwire.WireError, OSError) as error:
            raise Lost(f"{kind}: {error}") from error
        failed, replies = rawwire.errors(replies), self._behind_a_warning(replies)
        self.heard += [reply for reply in replies if reply.type == "A"]
        if failed:
            self.run.count_error(kind, failed[0].error, self.has_shown or "D" in {reply.type for reply in replies})
            if replies[-1].status != "I":
                self._ask("rollback", query("ROLLBACK"))
        return None if failed else replies

    def _behind_a_warning(self, replies):
        """Those that count: of a pipeline, what was answered ahead of the news of a loss may be what is lost; so may what was notified."""
        for i, reply in enumerate(replies):
            if reply.type == "N" and reply.sqlstate == "01000" and TOLD in reply.error.get("M", ""):
                self.told_of = dict(self.memory)
                self.judge.told(Op(self._full_name(), "warning", self.asked_at, self.judge.now()), self.memory, self.writing)
                return replies[i + 1:]
        return replies

    def _listen(self):
        """Takes up what was heard by the time that the next request is sent."""
        for reply in self.heard:
            key, n, number = map(int, reply.body[4:].rstrip(b"\0").split(b"\0")[1].split())
            self._remember(key, n, number, Op(self._full_name(), "notification", self.asked_at, self.judge.now()), False)
            self.run.heard_count += 1
        self.heard = []


WRITES = (Session.write_in_block, Session.write_in_block, Session.write_alone, Session.write_extended, Session.read_then_write_at_once,
          Session.write_then_read_at_once)
PLAIN_WRITES = (Session.write_in_block, Session.write_alone)
PLAIN_READS = (read_steps, read_twice)


class SplitWires:
    """A client that sends its READ ONLY blocks to one of these connections, whichever, and all else to the primary: what
    applications do by hand. It knows PLAIN_READS and PLAIN_WRITES only."""

    def __init__(self, primary, readers, chance):
        self.primary, self.readers, self.chance = primary, readers, chance
        self.there, self.is_last = primary, False

    def send(self, message):
        if b"READ ONLY" in message.upper():
            self.there = self.chance.choice(self.readers)
        self.there.send(message)
        self.is_last = message[5:].startswith((b"COMMIT", b"ROLLBACK"))

    def read_until(self, *arguments):
        replies = self.there.read_until(*arguments)
        if self.is_last:
            self.there = self.primary
        return replies

    def close(self):
        for wire in (self.primary, *self.readers):
            wire.close()


class Run:
    """Sessions that work for a time, and all that was seen.

    connect(session) gives a wire. roles: of the sessions, in turn. is_strict: an unmarked read on a standby is wrong.
    """

    def __init__(self, connect, seed, session_count=12, keys=8, pause=0.002, roles=("all",), reads=READS, writes=WRITES,
                 is_strict=True, is_replicated=True, read_share=0.65):
        self.connect, self.seed, self.keys, self.pause = connect, seed, keys, pause
        self.reads, self.writes, self.read_share = reads, writes, read_share
        self.is_strict, self.is_replicated, self.has_listeners = is_strict, is_replicated, "listener" in roles
        self.judge = Judge()
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.reads_done = collections.Counter()         # (kind, where)
        self.times = {True: [], False: []}              # of whole marked reads: on a standby
        self.first_rows = []                            # when they came to a marked read: seconds, since when
        self.errors = collections.Counter()
        self.failures = []          # (what was asked, the error, whether rows had been shown)
        self.crashed, self.phases = [], []
        self.write_count = self.heard_count = 0
        self._last_is_standby = threading.local()
        self.sessions = [Session(self, f"s{i}", connect, roles[i % len(roles)]) for i in range(session_count)]
        self.threads = [threading.Thread(target=session.work, daemon=True) for session in self.sessions]

    @staticmethod
    def prepare(primary, keys=8):
        primary.query(SCHEMA % (keys - 1))

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads), "a session hangs"
        if self.crashed:
            raise self.crashed[0]
        return self

    def done(self, op):
        with self.lock:
            self.reads_done[op.kind, f"{'standby' if op.is_standby else 'primary'} {op.port}"] += 1
        self._last_is_standby.value = op.is_standby

    def timed(self, kind, begun, shown_at, ended):
        if kind == "read":
            with self.lock:
                self.times[self._last_is_standby.value].append((ended - begun, begun))
                self.first_rows.append((shown_at - begun, begun))

    def count_error(self, kind, error, has_shown=False):
        with self.lock:
            text = f"{error['C']} {error['M']}" if isinstance(error, dict) else str(error)
            self.errors[f"{kind}: {text[:400]}"] += 1
            if kind == "session":
                kind = text.partition(": ")[0]
            self.failures.append((kind, text, has_shown))

    # What is done to the hosts.

    def phase(self, text):
        run = self

        class Phase:
            def __enter__(self):
                self.entry = [run.judge.now(), None, text]
                run.phases.append(self.entry)

            def __exit__(self, *exc):
                self.entry[1] = run.judge.now()

        return Phase()

    def _phases_between(self, begin, end):
        return ", ".join(f"{text} ({a:.2f} to {'now' if b is None else f'{b:.2f}'} s)" for a, b, text in self.phases
                         if a <= end and (b is None or b >= begin))

    # What has come of it.

    def violations(self):
        found = self.judge.violations()
        for violation in found:
            begin = violation.need.op.begun if violation.need else violation.op.begun
            violation.phases = self._phases_between(begin - 0.2, violation.op.ended)
        return found

    def share(self):
        """Of the marked reads, how many a standby has answered."""
        marked = {where: count for (kind, where), count in self.reads_done.items() if kind == "read"}
        return sum(count for where, count in marked.items() if where.startswith("standby")) / max(1, sum(marked.values()))

    def report(self):
        """In text; the first violations of each kind at length."""
        seconds = self.judge.now()
        lines = [f"seed {self.seed}, {seconds:.0f} s, {len(self.sessions)} sessions: {sum(self.reads_done.values())} snapshots, "
                 f"{self.write_count} writes, {self.heard_count} notifications, {self.judge.told_count} told of a loss "
                 f"({self.judge.needless_count} needlessly), {self.judge.failover_count} failovers"]
        lines += [f"  {kind}, {where}: {count}" for (kind, where), count in sorted(self.reads_done.items())]
        lines.append(f"  of the marked reads a standby has answered {self.share():.1%}")
        for is_standby, times in self.times.items():
            if len(times) > 1:
                sorted_times = sorted(seconds for seconds, _ in times)
                lines.append(f"  marked reads on {'standbys' if is_standby else 'the primary'}: p50 {statistics.median(sorted_times) * 1e3:.2f} ms, "
                             f"p99 {sorted_times[int(len(sorted_times) * 0.99)] * 1e3:.2f} ms, longest {sorted_times[-1] * 1e3:.0f} ms")
        lines += [f"  {count} times: {text}" for text, count in self.errors.most_common(12)]
        found = self.violations()
        counts = collections.Counter(violation.guarantee for violation in found)
        lines.append(f"  violations: {sum(counts.values())} {dict(counts)}")
        for guarantee in counts:
            for violation in [v for v in found if v.guarantee == guarantee][:4]:
                lines.append(str(violation))
        return "\n".join(lines)
