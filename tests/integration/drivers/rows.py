"""Rows of a stack in Python: @row("name") above a function of the client's number says one, run() runs those named on
the command line (else all), each in two clients (or CLIENTS) at once, and prints a line for each."""

import os
import sys
import threading
import traceback

ROWS = {}
HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
USER, DATABASE = os.environ["PGUSER"], os.environ["PGDATABASE"]
SSLMODE = os.environ["PGSSLMODE"]


def row(name):
    def add(work):
        ROWS[name] = work
        return work
    return add


CLIENTS = range(1, 1 + int(os.environ.get("CLIENTS", "2")))


def at_once(function, numbers=CLIENTS):
    """function(number) in threads; the first failure, or None."""
    failures = []

    def work(number):
        try:
            function(number)
        except BaseException as error:  # pylint: disable=broad-except
            traceback.print_exc()
            failures.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures[0] if failures else None


def run():
    failed = False
    for name in sys.argv[1:] or ROWS:
        error = at_once(ROWS[name])
        failed = failed or error is not None
        print(f"ok {name}" if error is None else f"not ok {name}: {type(error).__name__}: {error}", flush=True)
    os._exit(1 if failed else 0)        # a driver's own threads would be waited for
