"""A throwaway Kerberos realm: Debian's krb5kdc with a configuration, a database and a port of its own."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from postgres import Postgres
from waiting import SLOWNESS, free_port, wait_until

REALM = "EXAMPLE.NET"
SERVICE = "postgres/localhost"

CLIENT_CONF = """\
[libdefaults]
default_realm = {realm}
dns_lookup_realm = false
dns_lookup_kdc = false
dns_canonicalize_hostname = false
qualify_shortname = ""
rdns = false
udp_preference_limit = 1
{more}
[realms]
{realms}
[domain_realm]
localhost = {realm}
"""
KDC_CONF = """\
[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
	database_name = {directory}/principal
	key_stash_file = {directory}/stash
	acl_file = {directory}/acl
	max_life = 10h
	max_renewable_life = 1d
}}
[logging]
kdc = FILE:{directory}/kdc.log
default = FILE:{directory}/kdc.log
"""
# What a client does but for the login, in a process of its own, as the library's settings are a process's. It reads the server's tokens
# from stdin; both sides' are lines of base64. Flags: delegate, spnego, one_way; count=N: the first tokens of so many logins, and no more.
CLIENT = """\
import base64, sys, gssapi
flags = sys.argv[2].split(",")
count = [int(flag[6:]) for flag in flags if flag.startswith("count=")]
wanted = gssapi.RequirementFlag.mutual_authentication
if "one_way" in flags:
    wanted = gssapi.RequirementFlag.integrity
if "delegate" in flags:
    wanted |= gssapi.RequirementFlag.delegate_to_peer
mech = gssapi.OID.from_int_seq("1.3.6.1.5.5.2") if "spnego" in flags else gssapi.MechType.kerberos
name = gssapi.Name(sys.argv[1], gssapi.NameType.kerberos_principal)
def begin():
    return gssapi.SecurityContext(name=name, usage="initiate", flags=wanted, mech=mech)
for _ in range(sum(count)):
    print(base64.b64encode(begin().step(None)).decode(), flush=True)
context = begin()
said = None
while not context.complete:
    token = context.step(said)
    if token:
        print(base64.b64encode(token).decode(), flush=True)
    if not context.complete:
        said = base64.b64decode(sys.stdin.readline())
print("done", flush=True)
"""
# The server's side of one: reads the client's token from stdin, writes its reply.
SERVER = """\
import base64, sys, gssapi
context = gssapi.SecurityContext(usage="accept", creds=gssapi.Credentials(usage="accept"))
print(base64.b64encode(context.step(base64.b64decode(sys.stdin.readline()))).decode())
"""


def faketime():
    """The library that shifts a program's clock: the program `faketime` would be another process to stop."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def shifted(shift):
    """The surroundings of a program whose clock is wrong, by "+1h" or "-1d"."""
    return {"LD_PRELOAD": str(faketime()), "FAKETIME": shift} if shift else {}


class Realm:
    """With a KDC that runs until stop(). principals: those with a password, which is their name; each has a file of keys, too."""

    def __init__(self, directory, principals=("web",), realm=REALM, others=()):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.realm = realm
        self.port = free_port()
        self.process = None
        self.log = self.directory / "kdc.log"
        self.keytab = self.directory / "service.keytab"
        self.conf = self.write_conf(others)
        self.kdc_conf = self.directory / "kdc.conf"
        self.kdc_conf.write_text(KDC_CONF.format(port=self.port, realm=realm, directory=self.directory), encoding="utf-8")
        self.run(["/usr/sbin/kdb5_util", "create", "-s", "-P", "master", "-r", realm])
        self.kadmin(f"addprinc -randkey {SERVICE}", f"ktadd -k {self.keytab} {SERVICE}",
                    *[f'addprinc -pw "{name}" "{name}"' for name in principals])
        self.start()

    def write_conf(self, others=(), more="", name="krb5.conf"):
        """others: realms that a client knows, too. Returns the file's path."""
        realms = "".join(f"{of.realm} = {{\n\tkdc = 127.0.0.1:{of.port}\n}}\n" for of in (self, *others))
        path = self.directory / name
        path.write_text(CLIENT_CONF.format(realm=self.realm, realms=realms, more=more), encoding="utf-8")
        return path

    def environment(self, cache=None, shift=None, conf=None):
        env = {"KRB5_CONFIG": str(conf or self.conf), "KRB5RCACHEDIR": str(self.directory), **shifted(shift)}
        return {**env, "KRB5CCNAME": f"FILE:{cache}"} if cache else env

    def run(self, words, **more):
        env = {**os.environ, "KRB5_KDC_PROFILE": str(self.directory / "kdc.conf"), **self.environment(), **more.pop("env", {})}
        done = subprocess.run([str(word) for word in words], env=env, text=True, capture_output=True, check=False, **more)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def kadmin(self, *commands):
        self.run(["/usr/sbin/kadmin.local", "-r", self.realm], input="\n".join(commands) + "\n")

    def start(self, shift=None):
        """shift: its clock is wrong by so much."""
        env = {**os.environ, **self.environment(shift=shift), "KRB5_KDC_PROFILE": str(self.kdc_conf)}
        with open(self.directory / "kdc.out", "ab") as out:
            self.process = subprocess.Popen(["/usr/sbin/krb5kdc", "-n", "-r", self.realm], env=env, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, cwd=self.directory)
        wait_until(self._answers, what="the KDC to listen")

    def _answers(self):
        assert self.process.poll() is None, (self.directory / "kdc.out").read_text(errors="replace")
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return True

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20 * SLOWNESS)

    def tickets(self, name="web", service=SERVICE, shift=None, options=()):
        """A file of tickets: the first one of name, and one for service. Returns its path."""
        cache = self.directory / f"tickets-{len(list(self.directory.glob('tickets-*')))}"
        env = self.environment(cache, shift)
        self.run(["kinit", *options, name], env=env, input=f"{name}\n")
        if service:
            self.run(["kvno", "-q", service], env=env)
        return cache

    def tickets_by_key(self, name, keytab):
        """A file with the first ticket of name, whose key is in keytab. Returns its path."""
        cache = self.directory / f"tickets-{len(list(self.directory.glob('tickets-*')))}"
        self.run(["kinit", "-kt", keytab, name], env=self.environment(cache))
        return cache

    def client(self, cache, service=SERVICE, flags="", shift=None):
        return Client(self, cache, service, flags, shift)

    def tokens(self, cache, count=1, flags="one_way", **more):
        """The first ones of so many logins."""
        with self.client(cache, flags=f"{flags},count={count}", **more) as client:
            return [client.token() for _ in range(count)]

    def reply(self, token):
        """What a service says to a client's token."""
        env = {"KRB5_KTNAME": str(self.keytab), "KRB5RCACHENAME": "none:"}
        return base64.b64decode(self.run([sys.executable, "-c", SERVER], env={**self.environment(), **env},
                                         input=base64.b64encode(token).decode() + "\n"))


class Client:
    """The client's side of a login, to a test that sends its tokens or spoils them."""

    def __init__(self, realm, cache, service, flags, shift):
        name = service if "@" in service else f"{service}@{realm.realm}"
        self.process = subprocess.Popen([sys.executable, "-c", CLIENT, name, flags], text=True,
                                        env={**os.environ, **realm.environment(cache, shift)}, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.communicate()

    def token(self, reply=None):
        """Its next token, or None: it is satisfied."""
        if reply is not None:
            self.process.stdin.write(base64.b64encode(reply).decode() + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        assert line, self.process.stderr.read()
        return None if line == "done" else base64.b64decode(line)


def run_realm(directory, principals, commands=(), **more):
    """For a fixture. commands of kadmin may name the directory and the service's keytab."""
    made = Realm(directory / "realm", principals, **more)
    try:
        if commands:
            made.kadmin(*(command.format(directory=made.directory, keytab=made.keytab) for command in commands))
        yield made
    finally:
        made.stop()


def run_cluster(realm, hba, ident):
    """For a fixture: a PostgreSQL that asks for tickets."""
    made = Postgres()
    try:
        owner = os.stat(made.data)
        shutil.copy(realm.keytab, made.data / "krb5.keytab")
        os.chown(made.data / "krb5.keytab", owner.st_uid, owner.st_gid)
        (made.data / "pg_hba.conf").write_text(hba, encoding="utf-8")
        (made.data / "pg_ident.conf").write_text(ident, encoding="utf-8")
        made.query(f"ALTER SYSTEM SET krb_server_keyfile = '{made.data}/krb5.keytab'", dbname="postgres")
        made.stop()
        made.start()
        yield made
    finally:
        made.destroy()


def fixtures(principals, commands=(), hba="", ident=""):
    """A realm and a cluster of the module, and those of tests that stop or change them: realm, own_realm, cluster, own_cluster."""
    @pytest.fixture(scope="module")
    def realm(tmp_path_factory):
        yield from run_realm(tmp_path_factory.mktemp("kdc"), principals, commands)

    @pytest.fixture
    def own_realm(tmp_path):
        yield from run_realm(tmp_path, principals, commands)

    @pytest.fixture(scope="module")
    def cluster(realm):
        yield from run_cluster(realm, hba, ident)

    @pytest.fixture
    def own_cluster(own_realm):
        yield from run_cluster(own_realm, hba, ident)
    return realm, own_realm, cluster, own_cluster
