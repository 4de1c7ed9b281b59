"""ALTER ROLE ... SET reaches connections to a standby once that has replayed it, however long it takes: those that log in there
meanwhile begin with the old settings."""

import pytest

from leftovers import WORK_MEM
from test_code import on_standby
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def test_what_is_altered_on_the_primary_reaches_a_standbys_connections(weir, trio):
    standby = trio.standbys[0]
    upstream = trio.upstream(hosts=[trio.primary, standby])
    weir.start({"database primary": {"upstream": upstream + " dbname=app", "reads": "primary"}}, upstream=upstream, reads="marked",
               pool_size=1, reads_max_lag="1h", cluster_user="web")
    primary = weir.raw(database="primary")

    def there():
        return on_standby(weir, trio, ("", WORK_MEM))[0]

    def here():
        return primary.query(WORK_MEM)[0][0]

    assert here() == there() == "4MB"
    weir.settle()
    try:
        trio.pause(standby)
        trio.primary.query("ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
        wait_until(lambda: here() == "7MB")
        assert there() == "4MB"
        trio.resume(standby)
        wait_until(lambda: (primary.query("SELECT 1"), there() == "7MB")[1])
    finally:
        trio.resume(standby)
        trio.primary.query("ALTER ROLE web RESET ALL", dbname="postgres")
        trio.wait_replayed(standby)
