"""default_transaction_read_only is the operator's, unless a client sets it itself."""

import pytest

from rawwire import errors, query, shape
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

HOW = ["SET default_transaction_read_only = on", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
       "SELECT set_config('default_transaction_read_only', 'on', false)",
       "DO $$ BEGIN PERFORM set_config('default_transaction_read_only', 'on', false); END $$"]


def operator_sets(postgres, value):
    postgres.query("ALTER SYSTEM " + (f"SET default_transaction_read_only = {value}" if value
                                      else "RESET default_transaction_read_only"), dbname="postgres")
    postgres.query("SELECT pg_reload_conf()", dbname="postgres")
    wait_until(lambda: postgres.value("SHOW default_transaction_read_only", dbname="postgres") == (value or "off"))


@pytest.mark.parametrize("has_run", [False, True])
def test_primary_that_was_made_read_only_is_read_only_for_all_and_for_no_longer(weir, own_postgres, has_run):
    """Ahead of a switchover. pgweir must not set off what its clients were told at their login, nor on what they are
    told now."""
    weir.start(upstream=f"host={own_postgres.host} port={own_postgres.port}", pool_size=2)
    own_postgres.query("CREATE TABLE done (i int); GRANT ALL ON done TO web")
    clients = [weir.raw() for _ in range(4)]
    insert = query("INSERT INTO done VALUES (1)")
    for client in clients if has_run else []:
        assert not errors(client.ask(insert))
    operator_sets(own_postgres, "on")
    for client in clients * 2:
        assert shape(client.ask(insert)) == "E:25006 Z:I"
    operator_sets(own_postgres, None)
    for client in clients * 2:
        assert shape(client.ask(insert)) == "C:INSERT 0 1 Z:I"


@pytest.mark.parametrize("how", HOW)
def test_client_may_set_it_for_itself(weir, postgres, how):
    client, other = weir.start(pool_size=1).raw(), weir.raw()
    client.query(how)
    for _ in range(2):
        assert other.value("SHOW default_transaction_read_only") == "off"
        assert client.value("SHOW default_transaction_read_only") == "on"
    assert client.value("RESET default_transaction_read_only", "SHOW default_transaction_read_only") == "off"


def test_startup_may_set_it(weir, postgres):
    weir.start(pool_size=1)
    client, other = weir.raw(parameters={"options": "-c default_transaction_read_only=on"}), weir.raw()
    for _ in range(2):
        assert other.value("SHOW default_transaction_read_only") == "off"
        assert client.value("SHOW default_transaction_read_only") == "on"
