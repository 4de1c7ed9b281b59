"""A certificate authority for tests: what it signs lies in one directory as NAME.pem and NAME.key."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace


def run(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout


class Authority:
    def __init__(self, directory, name="Test CA"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o755)
        self.ca = self.directory / "ca.pem"
        self.crl = self.directory / "crl.pem"
        self._key = self.directory / "ca.key"
        self._issued = 0
        run("req", "-new", "-x509", "-nodes", "-days", 30, "-subj", f"/CN={name}", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._key, "-out",
            self.ca)

    def issue(self, name, subject=None, alternatives="", key="p256", digest="sha256", days=30):
        """subject: "/O=Acme/CN=web" (default: /CN=name); alternatives: "DNS:a,IP:127.0.0.1,email:x@y"."""
        algorithm = {"p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
                     "rsa": ["-newkey", "rsa:2048"],
                     "ed25519": ["-newkey", "ed25519"]}[key]
        made = SimpleNamespace(certificate=self.directory / f"{name}.pem", key=self.directory / f"{name}.key")
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        run("req", "-new", "-nodes", "-subj", subject or f"/CN={name}", *algorithm, "-keyout", made.key, "-out",
            request)
        extensions.write_text("basicConstraints=CA:FALSE\n" +
                              (f"subjectAltName={alternatives}\n" if alternatives else ""), encoding="utf-8")
        self._issued += 1
        run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-set_serial", 100 + self._issued,
            "-days", days, f"-{digest}", "-extfile", extensions, "-out", made.certificate)
        os.chmod(made.key, 0o600)
        return made

    def revoke(self, *revoked):
        """The list of what is revoked, anew."""
        database, conf = self.directory / "index.txt", self.directory / "ca.cnf"
        database.write_text("", encoding="utf-8")
        conf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\ndefault_md=sha256\ndefault_crl_days=30\n",
                        encoding="utf-8")
        words = ["-config", conf, "-keyfile", self._key, "-cert", self.ca]
        for one in revoked:
            run("ca", *words, "-revoke", one.certificate)
        run("ca", *words, "-gencrl", "-out", self.crl)

    def give_to(self, user, made):
        """PostgreSQL wants to own its key."""
        shutil.chown(made.key, user)


def owner_of(path):
    return pwd.getpwuid(os.stat(path).st_uid).pw_name
