"""Fixtures of reads on standbys: a primary and two standbys, made once for a module and healed for each test."""

import pytest

from hosts import Trio


@pytest.fixture(scope="module")
def module_trio():
    made = Trio()
    yield made
    made.destroy()


@pytest.fixture
def trio(module_trio):  # pylint: disable=redefined-outer-name
    """A primary and two streaming standbys that lag by nothing: hosts.py. Another host may be the primary than before."""
    module_trio.heal()
    for standby in module_trio.standbys:
        module_trio.wait_replayed(standby)
    yield module_trio
