# Django 3.2 or 4.2 with persistent connections: each thread keeps one for ever, as CONN_MAX_AGE = None makes it.

from contextlib import suppress

import django
from django.conf import settings

from rows import DATABASE, HOST, PORT, SSLMODE, USER, at_once, row, run

try:  # the driver's number: psycopg 3 has another one than psycopg2
    from django.db.backends.postgresql.psycopg_any import IsolationLevel
    SERIALIZABLE = IsolationLevel.SERIALIZABLE
except ImportError:  # Django before 4.2 has psycopg2 only
    from psycopg2.extensions import ISOLATION_LEVEL_SERIALIZABLE as SERIALIZABLE


def database(**more):
    return {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": USER, "HOST": HOST, "PORT": PORT,
            "CONN_MAX_AGE": None, "OPTIONS": {"sslmode": SSLMODE}, **more}


def options(number):
    return {"sslmode": SSLMODE, "application_name": f"shop {number}",
            "options": f"-c search_path=tenant_{number} -c statement_timeout=7s"}


settings.configure(
    DATABASES={"default": database(), "japan": database(TIME_ZONE="Asia/Tokyo"),
               "tenant_1": database(OPTIONS=options(1)), "tenant_2": database(OPTIONS=options(2)),
               "serializable": database(OPTIONS={"sslmode": SSLMODE, "isolation_level": SERIALIZABLE})},
    USE_TZ=True, TIME_ZONE="Europe/Berlin", SECRET_KEY="x", DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"])
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, connections, models, transaction  # noqa: E402
from django.db.utils import ProgrammingError  # noqa: E402
from django.test.utils import get_runner  # noqa: E402
from django.utils import timezone  # noqa: E402


def make(number, letter):
    return type(f"Item{letter}{number}", (models.Model,), {
        "__module__": __name__, "name": models.TextField(unique=True), "tags": models.JSONField(null=True),
        "at": models.DateTimeField(default=timezone.now),
        "Meta": type("Meta", (), {"app_label": "shop", "db_table": f"django_{letter}{number}"})})


ITEMS = {(number, letter): make(number, letter) for number in (1, 2) for letter in "abcdef"}


class table:
    """A model's table, there within the block."""

    def __init__(self, number, letter):
        self.item = ITEMS[number, letter]

    def __enter__(self):
        with connection.schema_editor() as editor:
            editor.create_model(self.item)
        return self.item

    def __exit__(self, *_):
        with connection.schema_editor() as editor:
            editor.delete_model(self.item)


def value(sql, parameters=None, using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def execute(sql, using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


@row("models")
def _(number):
    with table(number, "a") as item:
        for turn in range(15):
            made = item.objects.create(name=f"item {turn}", tags={"a": turn})
            assert item.objects.get(pk=made.pk).tags == {"a": turn}
            item.objects.filter(pk=made.pk).update(name=f"new {turn}")
        assert item.objects.filter(name__startswith="new ", tags__a__gt=4).count() == 10
        item.objects.bulk_create([item(name=f"bulk {turn}") for turn in range(300)])
        _, created = item.objects.get_or_create(name="bulk 7")
        assert not created and item.objects.aggregate(n=models.Count("id"))["n"] == 315


@row("atomic_nested")
def _(number):
    with table(number, "b") as item:
        for turn in range(10):
            with transaction.atomic():
                item.objects.create(name=f"outer {turn}")
                try:
                    with transaction.atomic():
                        item.objects.create(name=f"outer {turn}")
                    raise AssertionError("no error")
                except IntegrityError:
                    item.objects.create(name=f"after {turn}")
            with suppress(KeyError), transaction.atomic():
                item.objects.all().delete()
                raise KeyError
        assert item.objects.count() == 20


@row("server_side_cursors")
def _(number):
    """QuerySet.iterator() declares them WITH HOLD when there is no transaction."""
    with table(number, "c") as item:
        item.objects.bulk_create([item(name=f"bulk {turn}") for turn in range(500)])
        for chunk in (7, 100):
            assert sum(1 for _ in item.objects.all().iterator(chunk_size=chunk)) == 500
        one, two = item.objects.all().iterator(chunk_size=3), item.objects.all().iterator(chunk_size=5)
        assert [next(one).pk == next(two).pk for _ in range(50)] == [True] * 50
        with transaction.atomic():
            assert sum(1 for _ in item.objects.all().iterator(chunk_size=50)) == 500


@row("time_zone_of_a_connection")
def _(number):
    using = "japan" if number == 1 else "default"
    for _ in range(20):
        assert value("SHOW timezone", using=using) == ("Asia/Tokyo" if number == 1 else "UTC")


@row("startup_options")
def _(number):
    for _ in range(20):
        assert value("SELECT name FROM place", using=f"tenant_{number}") == f"tenant_{number}"
        assert value("SHOW statement_timeout", using=f"tenant_{number}") == "7s"
        assert value("SHOW application_name", using=f"tenant_{number}") == f"shop {number}"


@row("isolation_level")
def _(number):
    for _ in range(10):
        with transaction.atomic(using="serializable"):
            assert value("SHOW transaction_isolation", using="serializable") == "serializable"
        with transaction.atomic():
            assert value("SHOW transaction_isolation") == "read committed"


@row("tenant_by_search_path")
def _(number):
    """What django-tenants does at each request."""
    for turn in range(15):
        tenant = (turn + number) % 2 + 1
        execute(f"SET search_path = tenant_{tenant}, public")
        assert value("SELECT name FROM place") == f"tenant_{tenant}"
    execute("SET search_path = public")
    assert value("SELECT name FROM place") == "public"


@row("row_security_by_middleware")
def _(number):
    value("SELECT set_config('app.user_id', %s, false)", (str(number),))
    for _ in range(20):
        assert value("SELECT count(*) FROM document") == number
    execute("RESET app.user_id")


@row("advisory_lock_of_a_job")
def _(number):
    assert value("SELECT pg_try_advisory_lock(%s)", (number,)) is True

    def other(_):
        assert value("SELECT pg_try_advisory_lock(%s)", (number,)) is False
        connection.close()
    for _ in range(5):
        assert at_once(other, (1,)) is None
    assert value("SELECT pg_advisory_unlock(%s)", (number,)) is True


@row("temporary_table")
def _(number):
    execute("CREATE TEMP TABLE basket (n int)")
    for turn in range(15):
        execute(f"INSERT INTO basket VALUES ({turn})")
    assert value("SELECT sum(n) FROM basket") == 105
    execute("DROP TABLE basket")


@row("schema_editor_changes_a_table")
def _(number):
    with table(number, "d") as item:
        item.objects.create(name="one")
        for _ in range(6):
            assert item.objects.get(name="one").tags is None
        field = models.IntegerField(default=5)
        field.set_attributes_from_name("extra")
        with connection.schema_editor() as editor:
            editor.add_field(item, field)
        for _ in range(6):
            assert value(f"SELECT extra FROM {item._meta.db_table}") == 5
            assert item.objects.get(name="one").name == "one"


@row("errors_then_going_on")
def _(number):
    for turn in range(10):
        with suppress(ProgrammingError):
            value("SELECT * FROM django_nowhere")
            raise AssertionError("no error")
        assert value("SELECT %s::int", (turn,)) == turn


@row("select_for_update")
def _(number):
    with table(number, "e") as item:
        item.objects.create(name="counter", tags={"n": 0})

        def add(_):
            for _ in range(5):
                with transaction.atomic():
                    found = item.objects.select_for_update().get(name="counter")
                    found.tags = {"n": found.tags["n"] + 1}
                    found.save()
            connection.close()
        assert at_once(add, range(4)) is None
        assert item.objects.get(name="counter").tags == {"n": 20}


@row("test_runner_with_its_database")
def _(number):
    """migrate of three applications included; one client, as it names the database."""
    if number == 2:
        return
    settings.TEST_RUNNER = "django.test.runner.DiscoverRunner"
    runner = get_runner(settings)(verbosity=0, interactive=False, keepdb=False)
    only = ["default"]
    for _ in range(2):
        old = runner.setup_databases(aliases=only)
        try:
            assert value("SELECT current_database()::text") == f"test_{DATABASE}"
            User.objects.create_user("ann", password="x")
            assert User.objects.filter(username="ann").exists()
            call_command("migrate", "auth", "zero", verbosity=0)
            call_command("migrate", verbosity=0)
        finally:
            runner.teardown_databases(old)
        assert value("SELECT current_database()::text") == DATABASE


if __name__ == "__main__":
    run()
