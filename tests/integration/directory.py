"""A throwaway LDAP server: Debian's slapd with a configuration, data and ports of its own."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from waiting import SLOWNESS, free_port, wait_until

BASE = "dc=example,dc=net"
PEOPLE = f"ou=people,{BASE}"
READER = (f"cn=reader,{BASE}", "reader-secret")

CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {directory}/slapd.pid
{tls}
threads 4
database ldif
directory {directory}/data
suffix "dc=example,dc=net"
rootdn "cn=admin,dc=example,dc=net"
access to attrs=userPassword by anonymous auth by * none
access to * by {readers} read by * none
"""


def escaped(value):
    """RFC 4514, as hexadecimal."""
    return "".join(f"\\{ord(c):02x}" if c in ',+"\\<>;=# ' else c for c in value)


class Directory:
    """people: {uid: password}; dn(uid) is where each of them is. refers_to: the port of another server, which has more."""

    def __init__(self, directory, people, made=None, anonymous=True, refers_to=None):
        self.program = "/usr/sbin/slapd"
        self.directory = Path(directory)
        (self.directory / "data").mkdir(parents=True)
        self.conf = self.directory / "slapd.conf"
        tls = f"TLSCertificateFile {made.certificate}\nTLSCertificateKeyFile {made.key}" if made else ""
        self.conf.write_text(CONFIG.format(directory=self.directory, tls=tls, readers="*" if anonymous else "users"),
                             encoding="utf-8")
        self.port, self.tls_port = free_port(), free_port()
        self.log = self.directory / "slapd.log"
        self.process = None
        self._fill(people, refers_to)
        self.start(made is not None)

    @staticmethod
    def dn(uid):
        return f"uid={escaped(uid)},{PEOPLE}"

    def _fill(self, people, refers_to):
        entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n",
                   f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n",
                   f"dn: {READER[0]}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: {READER[1]}\n"]
        entries += [f"dn: {self.dn(uid)}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: same\nmail: {uid}@example.net\n"
                    f"userPassword: {password}\n" for uid, password in people.items()]
        if refers_to:
            entries.append(f"dn: ou=elsewhere,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n"
                           f"ref: ldap://127.0.0.1:{refers_to}/ou=elsewhere,{BASE}\n")
        subprocess.run([self.program, "-T", "add", "-f", self.conf], input="\n".join(entries), text=True, check=True,
                       capture_output=True)

    def start(self, has_tls=False):
        urls = f"ldap://127.0.0.1:{self.port}/" + (f" ldaps://127.0.0.1:{self.tls_port}/" if has_tls else "")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "-f", self.conf, "-h", urls, "-d", "stats"], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        wait_until(self._answers, what="slapd to listen")

    def _answers(self):
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return True

    def stand_still(self):
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "T")

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def count(self, text):
        """How often its log has it."""
        return self.log.read_text(errors="replace").count(text)

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20 * SLOWNESS)
