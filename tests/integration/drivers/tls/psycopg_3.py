# What test_tls_drivers.py asks of each driver: see there.
import sys
import threading

import psycopg

try:
    db = psycopg.connect("", autocommit=True)
except psycopg.OperationalError as error:
    print("refused:", error)
    sys.exit(3)
assert db.pgconn.ssl_in_use and db.execute("SELECT 42").fetchone() == (42,)
print("ok query")
for i in range(20):
    assert db.execute("SELECT %s::int * 2", (i,), prepare=True).fetchone() == (2 * i,)
print("ok prepared")
assert len(db.execute("SELECT repeat('x', 8000000)").fetchone()[0]) == 8000000
assert len(db.execute("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i").fetchall()) == 20000
print("ok large")
threading.Timer(0.3, db.cancel).start()
try:
    db.execute("SELECT pg_sleep(60)")
except psycopg.errors.QueryCanceled:
    print("ok cancel")
db.close()
