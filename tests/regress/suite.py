"""PostgreSQL's own regression suite, as Debian's source package of the server's minor version has it, ready to be run.

Nothing of it is kept in this tree: it is fetched once into a directory of the caller's choice, with a sources list and
package lists of its own, so that the machine's apt configuration stays as it is. The modules that the suite loads into
the server (regress, refint, autoinc) are compiled against the headers of its postgresql-server-dev package, which are
unpacked beside it unless they are installed. The server may be another Debian release's, in a directory with a system of
its own (DIRECTORY/usr/lib/postgresql/18/bin): the package then comes from where that system's come from.

PGWEIR_REGRESS_SOURCE   an unpacked source tree to use instead (of the server's own minor version)
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

MODULES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")


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
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.directory.stat().st_uid != os.getuid():
            raise SystemExit(f"{self.directory} is somebody else's, and what is in it is loaded into a server")
        os.chmod(self.directory, 0o755)
        version = run(self.bin / "postgres", "--version")
        found = re.search(r"\b((\d+)\.\d+) \(Debian ([^)]*)\)", version)
        if found is None:
            raise SystemExit(f"the suite is that of one of Debian's packages, and this is {version}")
        self.minor, self.major, self.package_version = found[1], found[2], re.sub(r"\+b\d+$", "", found[3])
        self.root = self.bin.parents[4]         # "/", or where the other release's system is
        self.modules = self.directory / f"modules-{self.minor}"
        self.source = Path(os.environ.get("PGWEIR_REGRESS_SOURCE") or self.directory / f"postgresql-{self.minor}")
        if not (self.source / "src/test/regress/parallel_schedule").exists():
            self._fetch_source()
        self._compile()
        self.inputdir = self.source / "src/test/regress"
        self.pg_regress = self._pg_regress()

    def _pg_regress(self):
        """The words that run it: another system's program with that system's loader and libraries."""
        program = self.bin.parent / "lib/pgxs/src/test/regress/pg_regress"
        if not program.exists():
            raise SystemExit(f"{program} is missing: install postgresql-client-{self.major}")
        if self.root == Path("/"):
            return [program]
        return [(self.root / "lib64/ld-linux-x86-64.so.2").resolve(), "--library-path", self.root / "usr/lib/x86_64-linux-gnu", program]

    # --- fetching ---

    def _apt(self, *arguments, **options):
        state = self.directory / f"apt-{self.major}"
        return run("apt-get", "-q", "-o", f"Dir::Etc::sourcelist={state / 'sources.list'}",
                   "-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={state / 'lists'}",
                   "-o", f"Dir::Cache={state / 'cache'}", "-o", "APT::Sandbox::User=", *arguments, **options)

    def _update_lists(self):
        state = self.directory / f"apt-{self.major}"
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        # Where that system's packages come from, their sources do, too.
        known = run("apt-get", "-o", f"Dir={self.root}", "indextargets", "--format",
                    "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
        lines = set()
        for line in known.splitlines():
            lines.update(f"{kind} {line}\n" for kind in ("deb", "deb-src"))
        if not lines:
            raise SystemExit("apt knows no packages: run apt-get update")
        keys = self.root / "usr/share/keyrings/debian-archive-keyring.gpg"
        if self.root != Path("/") and keys.exists():
            lines = {line.replace(" ", f" [signed-by={keys}] ", 1) for line in lines}
        (state / "sources.list").write_text("".join(sorted(lines)), encoding="ascii")
        self._apt("update")

    def _fetch_source(self):
        name = f"postgresql-{self.major}"
        self._update_lists()
        print(f"fetching the source of {name} {self.package_version}", flush=True)
        self._apt("source", "--download-only", f"{name}={self.package_version}", cwd=self.directory)
        package, = self.directory.glob(f"{name}_{self.package_version}.dsc")
        shutil.rmtree(self.source, ignore_errors=True)
        run("dpkg-source", "--no-check", "-x", package, self.source)

    def _headers(self):
        """The server's headers, and libpq's of that version: installed, or unpacked here."""
        installed, root = self.root / f"usr/include/postgresql/{self.major}/server", Path("/")
        if not (installed / "postgres.h").exists():         # extensions' packages put theirs there, too
            root = self.directory / f"server-dev-{self.major}"
            installed = root / f"usr/include/postgresql/{self.major}/server"
        if not (installed / "postgres.h").exists():
            self._update_lists()
            for package in (f"postgresql-server-dev-{self.major}", "libpq-dev"):
                self._apt("download", package, cwd=self.directory)
                run("dpkg", "-x", max(self.directory.glob(f"{package}_*.deb"), key=os.path.getmtime), root)
        include = root / "usr/include/postgresql"
        return [f"-I{installed}", f"-I{include}", f"-I{include / 'internal'}"]

    def _compile(self):
        self.modules.mkdir(exist_ok=True)
        for name in MODULES:
            target = self.modules / (Path(name).stem + ".so")
            if not target.exists():
                run(os.environ.get("CC", "cc"), "-O2", "-fPIC", "-shared", "-fno-strict-aliasing", "-fwrapv", "-w",
                    "-DREFINT_VERBOSE",     # as contrib/spi/Makefile has it
                    *self._headers(), "-o", target, self.source / name)

    # --- what there is to run ---

    def schedule(self):
        """The names of all tests, in an order in which each finds what it needs."""
        names = []
        for line in (self.inputdir / "parallel_schedule").read_text(encoding="ascii").splitlines():
            if line.startswith("test:"):
                names += line.split()[1:]
        return names
