# Django 3.2 with a second entry in DATABASES, and a router that reads from it: two sessions, and a position that travels.

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "drivers"))

sys.path.insert(0, str(Path(__file__).parent.parent))

import django  # noqa: E402
from django.conf import settings  # noqa: E402

from waiting import wait_until  # noqa: E402

from rows import DATABASE, HOST, PORT, SSLMODE, USER, row, run  # noqa: E402


class Router:
    @staticmethod
    def db_for_read(_model, **_hints):
        return "reader"

    @staticmethod
    def db_for_write(_model, **_hints):
        return "default"


def database(**options):
    return {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": USER, "HOST": HOST, "PORT": PORT,
            "CONN_MAX_AGE": None, "OPTIONS": {"sslmode": SSLMODE, **options}}


settings.configure(
    DATABASES={"default": database(), "reader": database(options="-c default_transaction_read_only=on")},
    DATABASE_ROUTERS=[Router], USE_TZ=True, SECRET_KEY="x", INSTALLED_APPS=[])
django.setup()

from django.db import connections, models, transaction  # noqa: E402


class Seen(models.Model):
    n = models.IntegerField(primary_key=True)

    class Meta:
        app_label, db_table, managed = "shop", "seen", False


def value(using, sql, *values):
    with connections[using].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0] if cursor.description else None


def counted(first, counts):
    """Whether a standby has answered: the primary does where no connection to one is idle."""
    with transaction.atomic(using="reader"):
        is_standby = value("reader", "SELECT pg_is_in_recovery()")
        counts.append(Seen.objects.filter(n__gte=first).count())
    return is_standby


def alternate(first):
    wait_until(lambda: value("reader", "SELECT pg_is_in_recovery()"))
    for n in range(first, first + 10):
        Seen.objects.create(n=n)
        value("reader", "SET pgweir.min_lsn = %s", value("default", "SHOW pgweir.lsn"))
        assert Seen.objects.get(n=n).n == n
        counts = []
        wait_until(lambda: counted(first, counts))     # pylint: disable=cell-var-from-loop
        assert set(counts) == {n - first + 1}, counts
        assert sum(1 for _ in Seen.objects.filter(n__gte=first).iterator(chunk_size=2)) == n - first + 1    # WITH HOLD: on the primary
        value("reader", "SELECT 1")     # that server is kept while it is asked what is left there
        wait_until(lambda: value("reader", "SELECT pg_is_in_recovery()"))
        assert not value("default", "SELECT pg_is_in_recovery()")


@row("router")
def _(number):
    alternate(1000 * number)


run()
