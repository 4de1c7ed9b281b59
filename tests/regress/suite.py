"""PostgreSQL's own regression suite, as Debian's source package of the installed minor version has it, ready to be run.

Nothing of it is kept in this tree: it is fetched once into a directory of the caller's choice, with a sources list and
package lists of its own, so that the machine's apt configuration stays as it is. The modules that the suite loads into
the server (regress, refint, autoinc) are compiled against the headers of postgresql-server-dev-15, which are unpacked
beside it unless they are installed.

PGWEIR_REGRESS_SOURCE   an unpacked source tree to use instead (of the server's own minor version)
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

MODULES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")
INSTALLED_HEADERS = Path("/usr/include/postgresql/15/server")
PG_REGRESS = Path("/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


class Suite:
    """source: the unpacked source; modules: where regress.so and its like are; bin: of psql and the server."""

    def __init__(self, directory, server_bin):
        self.directory = Path(directory)
        self.bin = Path(server_bin)
        self.modules = self.directory / "modules"
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.directory.stat().st_uid != os.getuid():
            raise SystemExit(f"{self.directory} is somebody else's, and what is in it is loaded into a server")
        os.chmod(self.directory, 0o755)
        version = run(self.bin / "postgres", "--version")
        self.minor = re.search(r"\b(15\.\d+)", version)
        if self.minor is None:
            raise SystemExit(f"the suite is that of PostgreSQL 15, and this is {version}")
        self.minor = self.minor.group(1)
        self.source = Path(os.environ.get("PGWEIR_REGRESS_SOURCE") or self.directory / f"postgresql-{self.minor}")
        if not (self.source / "src/test/regress/parallel_schedule").exists():
            self._fetch_source()
        self._compile()
        self.inputdir = self.source / "src/test/regress"
        if not PG_REGRESS.exists():
            raise SystemExit(f"{PG_REGRESS} is missing: install postgresql-client-15")

    # --- fetching ---

    def _apt(self, *arguments, **options):
        state = self.directory / "apt"
        return run("apt-get", "-q", "-o", f"Dir::Etc::sourcelist={state / 'sources.list'}",
                   "-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={state / 'lists'}",
                   "-o", f"Dir::Cache={state / 'cache'}", "-o", "APT::Sandbox::User=", *arguments, **options)

    def _update_lists(self):
        state = self.directory / "apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        # Where the machine's packages come from, their sources do, too.
        known = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                    "Created-By: Packages")
        lines = set()
        for line in known.splitlines():
            lines.update(f"{kind} {line}\n" for kind in ("deb", "deb-src"))
        if not lines:
            raise SystemExit("apt knows no packages: run apt-get update")
        (state / "sources.list").write_text("".join(sorted(lines)), encoding="ascii")
        self._apt("update")

    def _debian_version(self):
        """Of the source package: the installed one's, without the count of rebuilds."""
        installed = run("dpkg-query", "-W", "-f", "${Version}", "postgresql-15")
        if not installed.startswith(self.minor + "-"):
            raise SystemExit(f"the server is {self.minor}, the installed package {installed}: set "
                             "PGWEIR_REGRESS_SOURCE to the source of the former")
        return re.sub(r"\+b\d+$", "", installed)

    def _fetch_source(self):
        version = self._debian_version()
        self._update_lists()
        print(f"fetching the source of postgresql-15 {version}", flush=True)
        self._apt("source", "--download-only", f"postgresql-15={version}", cwd=self.directory)
        package, = self.directory.glob(f"postgresql-15_{version}.dsc")
        shutil.rmtree(self.source, ignore_errors=True)
        run("dpkg-source", "--no-check", "-x", package, self.source)

    def _headers(self):
        """The server's headers: installed, or unpacked here."""
        if INSTALLED_HEADERS.exists():
            return [f"-I{INSTALLED_HEADERS}"]
        root = self.directory / "server-dev"
        if not root.exists():
            if not (self.directory / "apt/sources.list").exists():
                self._update_lists()
            self._apt("download", f"postgresql-server-dev-15={self._debian_version()}", cwd=self.directory)
            package, = self.directory.glob("postgresql-server-dev-15_*.deb")
            run("dpkg", "-x", package, root)
        return [f"-I{root}/usr/include/postgresql/15/server", f"-I{root}/usr/include/postgresql/internal"]

    def _compile(self):
        self.modules.mkdir(exist_ok=True)
        for name in MODULES:
            target = self.modules / (Path(name).stem + ".so")
            if not target.exists():
                run(os.environ.get("CC", "cc"), "-O2", "-fPIC", "-shared", "-fno-strict-aliasing", "-fwrapv", "-w",
                    "-DREFINT_VERBOSE",     # as contrib/spi/Makefile has it
                    *self._headers(), "-I/usr/include/postgresql", "-o", target, self.source / name)

    # --- what there is to run ---

    def schedule(self):
        """The names of all tests, in an order in which each finds what it needs."""
        names = []
        for line in (self.inputdir / "parallel_schedule").read_text(encoding="ascii").splitlines():
            if line.startswith("test:"):
                names += line.split()[1:]
        return names
