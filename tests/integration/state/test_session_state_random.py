"""Random sessions through few servers: what each client is told equals what PostgreSQL tells it alone.

PGWEIR_TALK_SEEDS     which seeds: "7" or "1-50"        (default: each pair of settings in one of them)
PGWEIR_TALK_STEPS     turns of each client             (default: 200)
PGWEIR_TALK_CLIENTS   2 to 6                           (default: 4)
PGWEIR_TALK_WITHOUT   kinds of turns to leave out: names of the methods of sessiontalk.SessionTalk, with commas between;
                      item_types: the same types in all schemas
PGWEIR_TALK_SHRINK    1: a story that fails is made as short as it still fails
"""

import os

import pytest

import pairwise
from sessionreplay import Story
from sessiontalk import BOSS

# Servers are fewer than clients as long as none is pinned; all clients may be pinned at once.
POOLS = (
    {"pool_size": 2, "max_overflow": 6, "overflow_linger": "0s"},
    {"pool_size": 1, "max_overflow": 7, "overflow_linger": "1s"},
    {"pool_size": 6, "max_overflow": 2, "pool_lifo": False},
    {"pool_size": 3, "max_overflow": 5, "overflow_linger": "0s"},
)


# What a client is told depends on none of these; error refuses, allow crosses on purpose (test_pins.py), and with
# prepared_statements = 0 names are the server's.
SETTINGS = {
    "session_state": ("track", "pin", "warn", "isolate"),
    "begin": ("sent", "deferred"),
    "compat": ("none", "pgbouncer", "pgbouncer_1_25"),
    "max_pipeline": (1, 2, 4, 8),
    "keep_plans": ("off", "on"),
    "commit_check": ("off", "on"),
    "reads": ("primary", "prefer_standby", "marked"),
    "on_outage": ("fail", "wait", "hold"),
    "workers": (1, 2, 3),
    "prepared_statements": (1, 3, 1000),
    "keepalive": ("off", "on"),
    "keepalive_idle": ("0s", "1s", "1h"),
    "statement_ignore_comments": ("off", "on"),
}
ROWS = pairwise.rows(SETTINGS)


def settings_of(seed):
    """A pool of POOLS, and a row: each two values of SETTINGS meet in some seed of as many as there are rows."""
    return {**ROWS[seed % len(ROWS)], **POOLS[seed % len(POOLS)]}


def seeds():
    first, _, last = os.environ.get("PGWEIR_TALK_SEEDS", f"1-{len(ROWS)}").partition("-")
    return range(int(first), int(last or first) + 1)


STEPS = int(os.environ.get("PGWEIR_TALK_STEPS", "200"))
COUNT = int(os.environ.get("PGWEIR_TALK_CLIENTS", "4"))
WITHOUT = tuple(filter(None, os.environ.get("PGWEIR_TALK_WITHOUT", "").split(",")))
SHRINK = os.environ.get("PGWEIR_TALK_SHRINK", "") not in ("", "0")


@pytest.mark.sweep(keep=2)
@pytest.mark.timeout(600 + STEPS // 5 + (300 if SHRINK else 0))
@pytest.mark.parametrize("seed", seeds())
def test_random_sessions_are_told_what_postgresql_tells_them(weir, seed):
    weir.users[BOSS] = "unused"
    weir.start(**settings_of(seed))
    story = Story(weir, seed, COUNT, STEPS, WITHOUT)
    try:
        story.run()
    except AssertionError:
        if SHRINK and (short := story.shrink()):
            raise AssertionError(short) from None
        raise
