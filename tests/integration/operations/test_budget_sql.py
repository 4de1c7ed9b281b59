"""What the connection of a budget asks PostgreSQL, where roles and databases have settings and names that get in its way."""

import re

import pytest

from postgres import major_version
from rawwire import BEGIN_NOW
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only

# Settings of the role as which it logs in, which may do nothing but that.
HINDRANCES = {
    "standard_conforming_strings": "off", "backslash_quote": "off", "search_path": "public, pg_catalog",
    "default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on", "lock_timeout": "'1ms'", "statement_timeout": "'5s'",
    "idle_session_timeout": "'800ms'", "idle_in_transaction_session_timeout": "'800ms'",
    "client_encoding": "LATIN1", "DateStyle": "'SQL, DMY'", "bytea_output": "escape",
    "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "row_security": "off",
    "quote_all_identifiers": "on", "application_name": "'not ours'",
}
if major_version() >= 19:               # it refuses this one
    del HINDRANCES["standard_conforming_strings"]

TRAPS = """
    CREATE FUNCTION public.trap(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped: %', $1; END $$;
    CREATE FUNCTION public.pg_stat_get_activity(int, OUT usesysid oid, OUT datid oid, OUT pid int, OUT application_name text)
        RETURNS SETOF record LANGUAGE sql AS $$ SELECT 0::oid, 0::oid, public.trap('activity'), '' $$;
    CREATE FUNCTION public.pg_stat_get_backend_idset() RETURNS SETOF int LANGUAGE sql AS $$ SELECT public.trap('list') $$;
    CREATE FUNCTION public.pg_advisory_xact_lock(int, int) RETURNS int LANGUAGE sql AS $$ SELECT public.trap('lock') $$;
    CREATE FUNCTION public.pg_try_advisory_lock_shared(int, int) RETURNS bool LANGUAGE sql
        AS $$ SELECT public.trap('mark') > 0 $$;
    CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE sql AS $$ SELECT public.trap('pid') $$;
    CREATE FUNCTION public.set_config(text, text, bool) RETURNS text LANGUAGE sql AS $$ SELECT public.trap('set')::text $$;
    CREATE FUNCTION public.same(oid, oid) RETURNS bool LANGUAGE sql AS $$ SELECT public.trap('=') > 0 $$;
    CREATE FUNCTION public.same(name, name) RETURNS bool LANGUAGE sql AS $$ SELECT public.trap('=') > 0 $$;
    CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.same);
    CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, FUNCTION = public.same);
    CREATE VIEW public.pg_roles AS SELECT 0::oid AS oid, public.trap('roles')::text AS rolname;
    CREATE VIEW public.pg_settings AS SELECT public.trap('settings')::text AS name;
"""

ODD = ["o'neil", "back\\slash", 'two "quotes"', "with  blanks", "Jürgen", "{curly}", "it's \\'", "50%s"]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
def hindered(own_postgres, request):
    """A cluster in which the role keeper has a database to meet in, and nothing else."""
    encoding, database = request.param
    own_postgres.query("CREATE ROLE keeper LOGIN")
    for name, value in HINDRANCES.items():
        if own_postgres.value("SELECT count(*) FROM pg_settings WHERE lower(name) = lower(%s)", (name,)):
            own_postgres.query(f"ALTER ROLE keeper SET {name} = {value}")
    for name in ODD:
        own_postgres.query(f"CREATE ROLE {quoted(name)} LOGIN")
    own_postgres.query(f"CREATE DATABASE {quoted(database)} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    own_postgres.query(TRAPS, dbname=database)
    own_postgres.query(f"REVOKE ALL ON DATABASE {quoted(database)} FROM PUBLIC")
    own_postgres.query(f"GRANT CONNECT ON DATABASE {quoted(database)} TO keeper")
    own_postgres.database = database
    return own_postgres


def start(weir, cluster, users):
    weir.start(upstream=f"host={cluster.host} port={cluster.port} dbname=app",
               sections={"limits": {"budget": "on", "budget_connections": len(ODD) + 3, "budget_users": users,
                                    "budget_database": cluster.database, "cluster_user": "keeper"}})
    weir.wait_log("budget: joined at")


def said(cluster):
    """The backend that asks for pgweir, and what is in its name: the budget, used, waiting, in use, the beat."""
    (backend,) = [row for row in cluster.backends(datname=cluster.database)
                  if row["application_name"].startswith("pgweir budget ")]
    return backend["pid"], [int(word) for word in backend["application_name"].split()[2:7]]


def wait_for_a_beat(cluster):
    """It says something each second, and tries to get more of what it waits for many times meanwhile."""
    _, (*_, beat) = wait_until(lambda: said(cluster), what="pgweir to have asked")
    return wait_until(lambda: said(cluster)[1][4] == (beat + 1) % 10 and said(cluster), what="the next beat")


EVERY_PLACE = pytest.mark.parametrize("hindered", [("UTF8", "o'neil \"x\""), ("LATIN1", "back\\slash"), ("SQL_ASCII", "100%s")],
                                      indirect=True, ids=["UTF8", "LATIN1", "SQL_ASCII"])


@EVERY_PLACE
def test_whose_connections_count_is_told_by_their_names_whatever_these_are(weir, hindered):
    start(weir, hindered, ", ".join([*ODD, "web"]))
    strangers = [hindered.connect(user=name, dbname="app") for name in ODD]
    not_named = [hindered.connect(user="reporting", dbname="app") for _ in range(3)]
    first, second = weir.raw(), weir.raw()
    first.query(BEGIN_NOW)                    # 11, less two that are kept free, less the strangers
    waiting = weir.in_background(second.query, BEGIN_NOW)
    weir.wait_waiting(1)
    wait_for_a_beat(hindered)
    assert wait_for_a_beat(hindered)[1][:4] == [len(ODD) + 3, 1, 1, 1]
    assert hindered.count(usename="web") == 1
    strangers.pop().close()
    waiting.result()
    assert hindered.count(usename="web") == 2
    each(strangers + not_named).close()


@EVERY_PLACE
def test_no_setting_of_its_role_ends_it(weir, hindered):
    start(weir, hindered, "")
    pid, _ = wait_until(lambda: said(hindered), what="pgweir to have asked")
    client = weir.raw()
    for _ in range(3):                      # a second each; its role's sessions may be idle for 0.8 s
        client.query("SELECT 1")
        wait_for_a_beat(hindered)
    assert said(hindered)[0] == pid
    assert not re.search("trapped|could not ask|budget: the connection to", weir.log())
    assert not re.search("trapped|ERROR", (hindered.directory / "log").read_text(encoding="utf-8", errors="replace"))
