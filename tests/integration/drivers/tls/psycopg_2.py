# What test_tls_drivers.py asks of each driver: see there.
import sys
import threading

import psycopg2
import psycopg2.errors

try:
    db = psycopg2.connect("")
except psycopg2.OperationalError as error:
    print("refused:", error)
    sys.exit(3)
db.autocommit = True
cursor = db.cursor()


def one(sql, *values):
    cursor.execute(sql, values)
    return cursor.fetchone()[0]


assert db.info.ssl_in_use and one("SELECT 42") == 42
print("ok query")
one("PREPARE doubled(int) AS SELECT $1 * 2; SELECT 1")
for i in range(20):
    assert one("EXECUTE doubled(%s)", i) == 2 * i
print("ok prepared")
assert len(one("SELECT repeat('x', 8000000)")) == 8000000
cursor.execute("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i")
assert len(cursor.fetchall()) == 20000
print("ok large")
threading.Timer(0.3, db.cancel).start()
try:
    one("SELECT pg_sleep(60)")
except psycopg2.errors.QueryCanceled:
    print("ok cancel")
db.close()
