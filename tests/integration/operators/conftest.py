"""Fixtures of the operators' tests: the image, with pgweir and with PgBouncer where there is one; PostgreSQL as operators
set it up, with TLS, a certificate for the names of its services, and roles of their own."""

import os
import shutil

import pytest

from imagetree import make_image, programs
from postgres import Postgres

HBA = """\
local all postgres trust
local all all scram-sha-256
hostssl all cnpg_pooler_pgbouncer all cert
hostssl all _crunchypgbouncer all scram-sha-256
hostssl all pooler_auth all scram-sha-256
hostssl all app all scram-sha-256
host all all all reject
"""

# What each operator creates in a database: a role that may log in, and a function that shows it the secrets of others.
SETUP = """\
CREATE ROLE app LOGIN PASSWORD 'app-secret';
CREATE ROLE cnpg_pooler_pgbouncer LOGIN;
CREATE FUNCTION public.user_search(uname text) RETURNS TABLE (usename name, passwd text) LANGUAGE sql SECURITY DEFINER
    AS 'SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1';
REVOKE ALL ON FUNCTION public.user_search(text) FROM public;
GRANT EXECUTE ON FUNCTION public.user_search(text) TO cnpg_pooler_pgbouncer;
CREATE ROLE pooler_auth LOGIN PASSWORD 'auth"secret';
GRANT EXECUTE ON FUNCTION public.user_search(text) TO pooler_auth;
CREATE ROLE authenticator LOGIN SUPERUSER PASSWORD 'auth-secret';
CREATE ROLE _crunchypgbouncer LOGIN PASSWORD 'crunchy "quoted" secret';
"""
CRUNCHY = """\
CREATE SCHEMA pgbouncer;
GRANT USAGE ON SCHEMA pgbouncer TO _crunchypgbouncer;
CREATE FUNCTION pgbouncer.get_auth(username text) RETURNS TABLE (username text, password text) LANGUAGE sql STABLE SECURITY DEFINER
    AS 'SELECT rolname::text, rolpassword::text FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper';
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM public;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO _crunchypgbouncer;
"""


def made(program):
    image = make_image(program)
    yield image
    problems = image.close()
    assert not problems, problems


@pytest.fixture(params=programs())
def image(request):
    yield from made(request.param)


@pytest.fixture
def own_image():
    """With pgweir alone: what an entry point does, and PgBouncer's program does not by itself."""
    yield from made("pgweir")


@pytest.fixture(scope="session")
def cluster(authority):
    """PostgreSQL behind a service: pooler-rw and hippo-primary are names of 127.0.0.1 in the containers' /etc/hosts."""
    made = Postgres()
    found = authority.issue("service", "/CN=hippo-primary", "DNS:hippo-primary,DNS:hippo-primary.ns.svc")
    owner = os.stat(made.data)
    for source, name in ((found.certificate, "server.crt"), (found.key, "server.key"), (authority.ca, "root.crt")):
        shutil.copy(source, made.data / name)
        os.chown(made.data / name, owner.st_uid, owner.st_gid)
        os.chmod(made.data / name, 0o600)
    (made.data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
    with open(made.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write("ssl = on\nssl_ca_file = 'root.crt'\n")
    made.socket_dir.chmod(0o1777)           # poolers in PostgreSQL's pod have their sockets there, too
    made.stop()
    made.start()
    made.query(SETUP, dbname="postgres")
    for name in ("postgres", "app"):
        made.query(CRUNCHY, dbname=name)
    yield made
    made.destroy()
