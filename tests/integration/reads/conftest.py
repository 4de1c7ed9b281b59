"""Fixtures of reads on standbys: a primary and two standbys, made once for this folder and healed for each test."""

import pytest

from hosts import Trio


@pytest.fixture(scope="package")
def one_trio():
    made = Trio()
    yield made
    made.destroy()


@pytest.fixture
def trio(one_trio):  # pylint: disable=redefined-outer-name
    """A primary and two streaming standbys that lag by nothing: hosts.py. Another host may be the primary than before."""
    one_trio.heal()
    for standby in one_trio.standbys:
        one_trio.wait_replayed(standby)
    yield one_trio
