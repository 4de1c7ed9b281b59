"""gss_options after a reload: the next login goes by them."""

import pytest

from kerberos import run_realm
from test_gss import psql
from weir import is_built_with

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.needs("krb5kdc", "kinit"),
              pytest.mark.skipif(not is_built_with("libgssapi_krb5"), reason="built without libgssapi_krb5")]


@pytest.fixture(name="realm", scope="module")
def _realm(tmp_path_factory):
    yield from run_realm(tmp_path_factory.mktemp("kdc"), ("web",))


@pytest.mark.reloads("auth.gss_options")
def test_a_reload_changes_the_options(weir, realm):
    cache, keytab = realm.tickets(), f"krb_server_keyfile={realm.keytab}"
    weir.start(method="gss", gss_options=f"krb_realm=ELSEWHERE.NET include_realm=0 {keytab}", environment=realm.environment())
    assert psql(weir, realm, cache).returncode != 0
    weir.reload(method="gss", gss_options=f"krb_realm=EXAMPLE.NET include_realm=0 {keytab}")
    done = psql(weir, realm, cache)
    assert (done.returncode, done.stdout) == (0, "web\n"), done.stderr
    weir.reload(method="gss", gss_options=f"krb_realm=ELSEWHERE.NET include_realm=0 {keytab}")
    assert psql(weir, realm, cache).returncode != 0
