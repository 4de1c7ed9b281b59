# What test_tls_drivers.py asks of each driver: see there. TLS is told in the URL, or ("context") by an ssl context.
import asyncio
import os
import ssl
import sys

import asyncpg

env = os.environ


def how():
    if sys.argv[1:] == ["context"]:
        context = ssl.create_default_context(cafile=env["PGSSLROOTCERT"])
        if "PGSSLCERT" in env:
            context.load_cert_chain(env["PGSSLCERT"], env["PGSSLKEY"])
        return {"host": env["PGHOST"], "port": int(env["PGPORT"]), "user": env["PGUSER"], "database": env["PGDATABASE"],
                "password": env["PGPASSWORD"], "ssl": context}
    more = f"&sslcert={env['PGSSLCERT']}&sslkey={env['PGSSLKEY']}" if "PGSSLCERT" in env else ""
    return {"dsn": f"postgresql://{env['PGUSER']}:{env['PGPASSWORD']}@{env['PGHOST']}:{env['PGPORT']}/"
                   f"{env['PGDATABASE']}?sslmode=verify-full&sslrootcert={env['PGSSLROOTCERT']}{more}"}


async def main():
    words = how()
    for name in list(env):
        if name.startswith("PG"):
            del env[name]
    try:
        db = await asyncpg.connect(**words)
    except (OSError, asyncpg.PostgresError) as error:
        print("refused:", error)
        sys.exit(3)
    assert db._transport.get_extra_info("ssl_object") is not None
    assert await db.fetchval("SELECT 42") == 42
    print("ok query")
    statement = await db.prepare("SELECT $1::int * 2")
    for i in range(20):
        assert await statement.fetchval(i) == 2 * i
    print("ok prepared")
    assert len(await db.fetchval("SELECT repeat('x', 8000000)")) == 8000000
    assert len(await db.fetch("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i")) == 20000
    print("ok large")
    try:
        await db.execute("SELECT pg_sleep(60)", timeout=0.3)
    except asyncio.TimeoutError:
        assert await db.fetchval("SELECT 1") == 1
        print("ok cancel")
    await db.close()

asyncio.run(main())
