"""The same bytes to PostgreSQL and through pgweir: what comes back must be the same, in order, count and content."""

from rawwire import Wire, query, texts

SENTINEL = "the end of this conversation"
# Fields of an error that a client sees; file, line and routine may differ where pgweir answers by itself.
ERROR_FIELDS = "SVCMDHP"


def normalized(replies):
    """Replies as comparable values. Reports of parameters are left out: test_parameters.py looks at them. So is the hint that
    pgweir adds to an error of PostgreSQL's, where nobody asked for a value that is there (55000): test_currval.py."""
    out = []
    for reply in replies:
        if reply.type in "EN":
            out.append((reply.type, tuple((key, reply.error.get(key)) for key in ERROR_FIELDS
                                          if key != "H" or reply.sqlstate != "55000")))
        elif reply.type != "S":
            out.append((reply.type, reply.body))
    return out


def converse(wire, turns):
    """Sends each turn and reads its replies. A turn is bytes (one ReadyForQuery ends it) or (bytes, how many do, or the
    types of the message that ends it). At last a query shows that nothing unexpected came before its answer."""
    replies = []
    for turn in turns:
        data, until = turn if isinstance(turn, tuple) else (turn, 1)
        wire.send(data)
        if isinstance(until, str):
            replies += wire.read_until(until)
        elif until:
            replies += wire.read_until("Z", until)
    wire.send(query(f"SELECT '{SENTINEL}'"))
    while True:
        replies += wire.read_until("Z")
        if any(SENTINEL in (row[0] or "") for row in texts(replies[-4:])):
            return replies


def both_ways(weir, turns, user="web", database="app", prepare=None):
    """(what PostgreSQL answers, what comes through pgweir). prepare: called before each, to bring tables in order."""
    answers = []
    for address in ((weir.postgres.host, weir.postgres.port), weir.address):
        if prepare is not None:
            prepare()
        with Wire(address) as wire:
            wire.login(user, database)
            answers.append(normalized(converse(wire, turns)))
            wire.leave()
    return answers


def assert_same(weir, turns, **options):
    direct, through = both_ways(weir, turns, **options)
    assert through == direct
