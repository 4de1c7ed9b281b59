"""Fixtures of the integration suite.

PGWEIR_BIN    the program under test (default: build/pgweir, else ./pgweir)
PGWEIR_DIRECT 1: every connection goes straight to PostgreSQL. What pgweir promises to leave as it is must pass there
              too, so that a test of replies is first proved right against the real thing; tests of what only pgweir
              has (marked weir_only) are skipped.
PGWEIR_TEST_TLS 1: TLS on both sides of pgweir, verified: what pgweir does must be the same (see transport.py)
PGWEIR_WORKERS N: pgweir has so many workers
PGWEIR_BEGIN  sent: pgweir's setting of that name, in every configuration; else its default, deferred
PGWEIR_PIPELINE  max_pipeline in every configuration; else its default, 2
PGWEIR_SWEEPS one or more of
              core: of the modules in CORE, one variant of each test, and N of those marked sweep(keep=N), which differ as
                    much as they can
              rest: the same of all that is not core; sample: of all
              I/N:  a share of the variants that sample leaves out, I from 0 to N-1
              all (default)
PGWEIR_LEAVE_ALONE  a file: tests marked alone are not run, but named there
PG_BIN        PostgreSQL's server programs
"""

import collections
import os
import shutil
import sys
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest_plugins = ["progress"]

from authority import Authority  # noqa: E402
from crowd import Crowd, make_world  # noqa: E402
from fakeserver import FakeServer  # noqa: E402
from postgres import Postgres, major_version  # noqa: E402
from tap import Tap  # noqa: E402
from waiting import PATIENCE, SLOWNESS, wait_until  # noqa: E402
import transport  # noqa: E402
from weir import DIRECT, WORKERS, Weir, find_binary, is_sanitized  # noqa: E402


def pytest_report_header():
    slowness = f"slowness {SLOWNESS:.1f} (1: an idle machine): {PATIENCE:.0f} s is waited for what may hang"
    if DIRECT:
        return ["pgweir: none, straight to PostgreSQL", slowness]
    return [f"pgweir: {find_binary() or 'not found: set PGWEIR_BIN, or build it'}", slowness]


def multiply_time_limits(config, items):
    """Those of pytest, where there are any (--timeout 0: none)."""
    if config.getoption("timeout") is not None:
        return
    for item in items:
        mark = item.get_closest_marker("timeout")
        item.add_marker(pytest.mark.timeout(SLOWNESS * (mark.args[0] if mark else float(config.getini("timeout")))), append=False)


def sample(items, keep):
    """So many variants of one test, always the same ones: each takes the most values that no other has."""
    def values(item):
        spec = getattr(item, "callspec", None)
        return set(enumerate(spec._idlist)) if spec else set()  # pylint: disable=protected-access # its id, before it is joined

    left = sorted(items, key=lambda item: zlib.crc32(item.nodeid.encode()))
    taken, seen = set(), set()
    for _ in range(min(keep, len(left))):
        best = max(left, key=lambda item: len(values(item) - seen))
        left.remove(best)
        taken.add(best)
        seen |= values(best)
    return taken


# What scripts/test runs, but for tests marked long, and for those that need what `scripts/install-deps test` does not install:
# whether pgweir does its job, for each driver of Python's. .ci/run has all, a third of the other modules with each commit.
CORE = """
drivers/test_drivers drivers/test_aiopg drivers/test_asyncpg drivers/test_psycopg2 drivers/test_psycopg3 drivers/test_sqlalchemy
login/test_login login/test_tenants login/test_tls_clients
operations/test_console operations/test_life operations/test_log operations/test_metrics operations/test_pool_limits
operations/test_pool_timeout operations/test_slowlog operations/test_timeouts
protocol/test_cancel protocol/test_copy protocol/test_extended protocol/test_pipeline protocol/test_prepared protocol/test_startup_wire
protocol/test_transactions protocol/test_unnamed_statement
reliability/test_bank reliability/test_replay
state/test_isolation state/test_modes state/test_parameters state/test_pins state/test_session_state
""".split()


def is_core(item):
    return is_of_core(item.path) and not item.get_closest_marker("long") and not item.get_closest_marker("needs")


def is_of_core(path):
    return f"{path.parent.name}/{path.stem}" in CORE


def pytest_ignore_collect(collection_path):
    """What other modules import may not be installed."""
    if os.environ.get("PGWEIR_SWEEPS") == "core" and collection_path.match("test_*.py") and not is_of_core(collection_path):
        return True
    return None


def pytest_runtest_setup(item):
    """What is missing is no reason to be silent about it."""
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")]
        if missing:
            pytest.fail(f"{', '.join(missing)} is not installed: scripts/install-deps ci", pytrace=False)


def select_of_sweeps(config, items):
    words = os.environ.get("PGWEIR_SWEEPS", "all").split()
    if words == ["all"]:
        return
    variants = collections.defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("sweep")
        variants[item.nodeid.split("[")[0], mark.kwargs["keep"] if mark else 1].append(item)
    sampled = set()
    for (_, keep), group in variants.items():
        sampled |= sample(group, keep)
    core = {item for item in sampled if is_core(item)}
    sets = {"core": core, "rest": sampled - core, "sample": sampled}
    kept = set()
    for word in words:
        share, _, of = word.partition("/")
        if of:
            sets[word] = {item for item in items if item not in sampled and zlib.crc32(item.nodeid.encode()) % int(of) == int(share)}
        if word not in sets:
            raise pytest.UsageError(f"PGWEIR_SWEEPS is all, or core, rest, sample, I/N, or several of them, not {word}")
        kept |= sets[word]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    if os.environ.get("PGWEIR_LEFT_OUT"):       # for scripts/integration: of several workers' pytest says nothing
        Path(os.environ["PGWEIR_LEFT_OUT"]).write_text(str(len(items) - len(kept)), encoding="utf-8")
    items[:] = [item for item in items if item in kept]


# Their fixtures take seconds: one worker has all of a group.
DEAR_TESTS = (tuple(f"state/test_hidden_code.py::test_{name}" for name in ("no_statement_touches", "pgweir_looks_them_up", "each_row_of")),
              ("operators/test_cloudnative_pg.py::",))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """One test after the other, in their order: xdist gives each worker a row of hundreds, and with it all that is long."""
    from xdist.scheduler import LoadScheduling

    class OneByOne(LoadScheduling):
        def _send_tests(self, node, num):
            chosen = set(self.pending[:num])
            for group in DEAR_TESTS:
                if any(self.collection[i].startswith(group) for i in chosen):
                    chosen |= {i for i in self.pending if self.collection[i].startswith(group)}
            if chosen:
                self.node2pending[node] += sorted(chosen)
                node.send_runtest_some(sorted(chosen))
                self.pending[:] = [i for i in self.pending if i not in chosen]

        def check_schedule(self, node, duration=0):
            if node.shutting_down:
                return
            if self.pending:                # a worker begins a test when it knows the next one
                if len(self.node2pending[node]) < 2:
                    self._send_tests(node, 2 - len(self.node2pending[node]))
            else:
                node.shutdown()

        def schedule(self):
            if self.collection is None and self._check_nodes_have_same_collection():
                self.collection = list(self.node2collection.values())[0]
                self.pending[:] = range(len(self.collection))
            if self.collection is not None:
                for _ in range(2):
                    for node in self.nodes:
                        self._send_tests(node, 1)
                for node in self.nodes:
                    self.check_schedule(node)

    return OneByOne(config, log)


@pytest.hookimpl(trylast=True)              # after -k and the like
def pytest_collection_modifyitems(config, items):
    select_of_sweeps(config, items)
    multiply_time_limits(config, items)
    items.sort(key=lambda item: "long" not in item.keywords)
    left = os.environ.get("PGWEIR_LEAVE_ALONE")
    if left:
        alone = [item for item in items if "alone" in item.keywords]
        items[:] = [item for item in items if "alone" not in item.keywords]
        Path(left).write_text("".join(f"{item.path}::{item.nodeid.split('::', 1)[1]}\n" for item in alone), encoding="utf-8")
    if DIRECT:
        skip = pytest.mark.skip(reason="only pgweir does this, and PGWEIR_DIRECT is set")
        for item in items:
            if "weir_only" in item.keywords:
                item.add_marker(skip)
    for item in items:
        for mark in item.iter_markers():
            if (mark.name == "since" and major_version() < mark.args[0]) or (mark.name == "before" and major_version() >= mark.args[0]):
                item.add_marker(pytest.mark.skip(reason=f"PostgreSQL {major_version()}: {mark.args[1]}"))
    for item in items if WORKERS > 1 else ():
        for mark in item.iter_markers("one_worker"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))
    if transport.IS_TLS:
        skip = pytest.mark.skip(reason="it says itself what is encrypted, and PGWEIR_TEST_TLS is set")
        for item in items:
            if "own_transport" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def postgres():
    cluster = Postgres()
    yield cluster
    cluster.destroy()


@pytest.fixture
def weir(postgres, tmp_path):
    subject = Weir(postgres, tmp_path)
    yield subject
    problems = subject.teardown()
    try:
        wait_until(lambda: postgres.count() == 0, what="PostgreSQL's backends to end", pause=0.005)
    except AssertionError as error:
        problems.append(f"connections to PostgreSQL are left: {error}")
        postgres.kill_backends()
    if problems:
        tail = "\n".join(subject.log().splitlines()[-40:])
        pytest.fail("\n".join(problems) + f"\n--- the end of its log ---\n{tail}")


def company(weir, postgres, **settings):
    make_world(postgres)
    weir.start({"database *": {"upstream": weir.upstream()}}, pool_lifo=False, **settings)
    with Crowd(weir.dsn()) as crowd:
        yield weir
        weir.close_connections()            # a transaction left open would keep the bystanders waiting
    assert not crowd.troubles, crowd.troubles


@pytest.fixture
def busy(weir, postgres):
    """pgweir with fewer servers than clients, four of which are bystanders: servers change hands all the time. A test's
    two clients may each pin a server; then two are left, and the overflow gives no client one of its own."""
    yield from company(weir, postgres, pool_size=2, max_overflow=2)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def own_postgres():
    """A cluster of the test's own, for those that stop it."""
    cluster = Postgres()
    yield cluster
    cluster.destroy()


@pytest.fixture
def tap(postgres):
    with Tap((postgres.host, postgres.port)) as between:
        yield between


@pytest.fixture
def fake():
    with FakeServer() as server:
        yield server


@pytest.fixture
def table(postgres, request):
    """The name of a table of the test's own, (id int PRIMARY KEY, v text), owned by web; dropped afterwards."""
    name = "t_" + "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[:50]
    postgres.query(f"DROP TABLE IF EXISTS {name}")
    postgres.query(f"CREATE TABLE {name} (id int PRIMARY KEY, v text)")
    postgres.query(f"ALTER TABLE {name} OWNER TO web")
    yield name
    postgres.query(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def own(postgres):
    """The name of a database of the test's own, owned by web, where everybody may make what they like; dropped afterwards."""
    postgres.query("CREATE DATABASE own OWNER web", dbname="postgres")
    postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC", dbname="own")
    yield "own"
    postgres.query("DROP DATABASE IF EXISTS own WITH (FORCE)", dbname="postgres")


@pytest.fixture
def locked(weir, table):
    """A function after which nobody else may look at the test's table."""
    holder = weir.postgres.connect()
    holder.autocommit = False
    yield lambda: holder.cursor().execute(f"LOCK TABLE {table}")
    holder.close()


@pytest.fixture(scope="session")
def sanitized():
    """True when the program under test carries AddressSanitizer: memory is not measured then."""
    return not DIRECT and is_sanitized(find_binary())
