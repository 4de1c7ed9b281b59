# Django's router and middleware as docs/reads.md has them: requests of two browsers, and a position in a cookie.

import json
import re
import sys
import types
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "drivers")]

import django  # noqa: E402
from django.conf import settings  # noqa: E402

from waiting import wait_until  # noqa: E402

from rows import DATABASE, HOST, PORT, SSLMODE, USER, row, run  # noqa: E402

PAGE = (HERE.parents[2] / "docs" / "reads.md").read_text(encoding="utf-8")
CODE = re.search(r"^```python\n(# reads\.py.*?)^```$", PAGE, re.M | re.S)[1]


def database(**options):
    return {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": USER, "HOST": HOST, "PORT": PORT,
            "CONN_MAX_AGE": None, "OPTIONS": {"sslmode": SSLMODE, **options}}


settings.configure(
    DATABASES={"default": database(), "reader": database(options="-c default_transaction_read_only=on")},
    DATABASE_ROUTERS=["reads.Router"], MIDDLEWARE=["reads.Positions"], ROOT_URLCONF="marked_urls", ALLOWED_HOSTS=["*"], USE_TZ=True,
    SECRET_KEY="x", INSTALLED_APPS=[])
module = sys.modules["reads"] = types.ModuleType("reads")
exec(compile(CODE, "docs/reads.md", "exec"), module.__dict__)  # pylint: disable=exec-used
django.setup()

from django.db import connections, models, transaction  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402


class Seen(models.Model):
    n = models.IntegerField(primary_key=True)

    class Meta:
        app_label, db_table, managed = "shop", "seen", False


def where(using):
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), current_setting('pgweir.min_lsn', true)")
        return dict(zip(("standby", "lsn"), cursor.fetchone()))


def view(request):
    """GET says which numbers there are, and where that was read; POST writes one, and reads it again."""
    if request.method == "GET":
        with transaction.atomic(using="reader"):
            return JsonResponse({**where("reader"), "seen": list(Seen.objects.order_by("n").values_list("n", flat=True))})
    n = int(request.POST["n"])
    Seen.objects.create(n=n)
    return JsonResponse({**where(Seen.objects.db), "seen": [Seen.objects.get(n=n).n]})


urls = sys.modules["marked_urls"] = types.ModuleType("marked_urls")
urls.urlpatterns = [path("", view)]


def said(response):
    assert response.status_code == 200, response
    return json.loads(response.content)


@row("middleware")
def _(_number):
    browser, other = Client(), Client()

    def reads(want):
        answer = said(browser.get("/"))
        assert answer["seen"] == want and answer["lsn"] == browser.cookies["lsn"].value.split(":")[0], answer
        return answer["standby"]

    wait_until(lambda: said(other.get("/"))["standby"])
    for n in range(10):
        answer = said(browser.post("/", {"n": n}))
        assert not answer["standby"] and answer["seen"] == [n], answer
        assert browser.cookies["lsn"]["httponly"]
        wrong = []

        def is_read_there(want=list(range(n + 1)), wrong=wrong):    # wait_until() takes what fails for "not yet"
            try:
                return reads(want)
            except AssertionError as error:
                wrong.append(error)
                return True

        wait_until(is_read_there)
        assert not wrong, wrong
    other.cookies["lsn"] = "FF/FF:forged"
    assert said(other.get("/"))["seen"]


run()
