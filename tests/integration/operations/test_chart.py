"""The Helm chart: what it renders of several values is whole, fits together, and is a configuration that pgweir takes."""

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from authority import Authority
from programs import compiled
from waiting import SLOWNESS
from weir import DIRECT, REPOSITORY, find_binary

CHART = REPOSITORY / "contrib" / "helm" / "pgweir"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
USERS = '"app" "it\'s"\n"ops" "y"\n'
KINDS = {"Secret": "v1", "ConfigMap": "v1", "Service": "v1", "ServiceAccount": "v1", "Deployment": "apps/v1",
         "PodDisruptionBudget": "policy/v1", "HorizontalPodAutoscaler": "autoscaling/v2",
         "NetworkPolicy": "networking.k8s.io/v1", "ServiceMonitor": "monitoring.coreos.com/v1",
         "Certificate": "cert-manager.io/v1"}
ALWAYS = {"ConfigMap", "Deployment", "Service"}

CASES = {
    "defaults": {"users": USERS},
    "bare": {"existingSecret": "mine", "podDisruptionBudget": {"enabled": False}, "serviceAccount": {"create": False},
             "replicas": 1, "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "databases": {"users": USERS, "upstream": "", "settings": {"pgweir": {"max_client_connections": 1000000}},
                  "databases": {"app": {"upstream": "host=db2 port=5433", "pool_size": 30, "server_tls_mode": "require"},
                                "reports": {"upstream": "host=db3 dbname=app", "on_outage": "hold"}},
                  "extraConfig": "[user app]\npool_size = 7\n", "podAnnotations": {"prometheus.io/scrape": "false"}},
    "budget": {"users": USERS + '"pgweir" "p"\n', "budget": "on", "budgetConnections": 90, "settings": {"limits": {"cluster_user": "pgweir"}}},
    "tls": {"users": USERS, "tls": {"clients": {"secretName": "front", "mode": "verify-full"},
                                    "postgres": {"mode": "verify-full", "secretName": "back", "clientCertificate": True}}},
    "cert-manager": {"users": USERS, "tls": {"clients": {"certManager": {
        "enabled": True, "issuerRef": {"kind": "ClusterIssuer", "name": "ours"}, "dnsNames": ["db.example.com"]}}}},
    "everything": {
        "users": USERS, "autoscaling": {"enabled": True, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"enabled": True, "clients": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                          "metrics": [{"namespaceSelector": {}}], "postgres": [{"ipBlock": {"cidr": "10.0.0.0/24"}}],
                          "postgresPorts": [5432, 5433]},
        "shutdown": {"delaySeconds": 10, "timeoutSeconds": 60, "preStopSeconds": 7},
        "service": {"type": "LoadBalancer", "port": 6432, "annotations": {"a/b": "true"}},
        "serviceAccount": {"name": "pooler", "annotations": {"role": "x"}}, "priorityClassName": "high",
        "podLabels": {"team": "db", "app.kubernetes.io/name": "not-this"}, "podAnnotations": {"x": "1"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}], "nodeSelector": {"disk": "ssd"},
        "extraVolumes": [{"name": "more", "emptyDir": {}}], "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "imagePullSecrets": [{"name": "pull"}], "image": {"repository": "r.example.com/pgweir", "tag": "1.2"},
        "tolerations": [{"key": "db", "operator": "Exists"}], "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "tls": {"clients": {"secretName": "front"}, "postgres": {"mode": "require"}},
        "probes": {"readiness": {"httpGet": {"path": "/healthz"}}}},
}


def merged(into, values):
    """As Helm does: null takes a value away."""
    into = copy.deepcopy(into)
    for key, value in values.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            into[key] = merged(into[key], value)
        else:
            into[key] = value
    return into


class OnceLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, as kustomize does."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"twice: {keys}"
        return super().construct_mapping(node, deep)


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    """Renders the chart: a function from values to objects, by kind; "notes" is the text for who installs it."""
    program = compiled(tmp_path_factory, "render", lambda out: ["go", "build", "-o", out, Path(__file__).parent / "render.go"]) / "render"
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())

    def render(fails=None, **values):
        values = merged(DEFAULTS, values)
        jsonschema.validate(values, SCHEMA)
        given = {"Values": values, "Release": {"Name": "pool", "Namespace": "db", "Service": "Helm"},
                 "Chart": {"AppVersion": about["appVersion"]}}
        done = subprocess.run([program, CHART], input=json.dumps(given), capture_output=True, text=True, check=False,
                              timeout=20 * SLOWNESS)
        if fails:
            assert done.returncode != 0 and fails in done.stderr, done
            return None
        assert done.returncode == 0, done.stderr
        notes, rest = re.match(r"\n---\n# NOTES.txt\n(.*?)(\n---\n.*)", done.stdout, re.DOTALL).groups()
        found = [one for one in yaml.load_all(rest, OnceLoader) if one is not None]
        objects = {one["kind"]: one for one in found}
        assert len(objects) == len(found), "one of a kind"
        return {**objects, "notes": notes}
    return render


def container_of(objects):
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["pgweir"]
    return pod["containers"][0]


def look_at_the_whole(objects):
    assert ALWAYS <= set(objects) <= set(KINDS)
    for kind, one in objects.items():
        assert one["apiVersion"] == KINDS[kind]
        assert set(one) <= {"apiVersion", "kind", "metadata", "spec", "data", "stringData", "automountServiceAccountToken"}
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", one["metadata"]["name"])
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "pgweir" and labels["app.kubernetes.io/managed-by"] == "Helm"
        assert all(re.fullmatch(r"[\w.-]{0,63}", value) for value in labels.values())


def look_at_selectors(objects):
    labels = objects["Deployment"]["spec"]["selector"]["matchLabels"]
    assert labels and labels.items() <= objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert objects["Service"]["spec"]["selector"] == labels
    for kind, word in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        if kind in objects:
            assert objects[kind]["spec"][word]["matchLabels"] == labels, kind
    if "ServiceMonitor" in objects:
        wanted = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
        assert wanted and wanted <= objects["Service"]["metadata"]["labels"].items()


def look_at_ports(objects):
    container = container_of(objects)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    ini = objects["ConfigMap"]["data"]["pgweir.ini"]
    listens = dict(re.findall(r"^\[(\w+)\]\n(?:[^\[]*\n)?listen = \*:(\d+)$", ini, re.MULTILINE))
    assert {"postgres": str(ports["postgres"]), "http": str(ports["http"])} == \
        {"postgres": listens["pgweir"], "http": listens["http"]}
    service = {port["name"]: port["targetPort"] for port in objects["Service"]["spec"]["ports"]}
    assert set(service.values()) == set(ports), "the Service leads to each port"
    served = re.findall(r'^\t\{ "(/\w+)",', (REPOSITORY / "src/http/http_pages.c").read_text(), re.MULTILINE)
    assert "/readyz" in served
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in served and asked["port"] == "http", probe
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz", "an outage of PostgreSQL is no reason to kill a pod"
    for endpoint in objects.get("ServiceMonitor", {"spec": {"endpoints": []}})["spec"]["endpoints"]:
        assert endpoint["port"] in service and endpoint["path"] in served and re.fullmatch(r"\d+s", endpoint["interval"])
    for rule in objects.get("NetworkPolicy", {"spec": {"ingress": []}})["spec"]["ingress"]:
        assert all(port["port"] in ports for port in rule["ports"])
    annotations = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations.get("prometheus.io/port", "9930") == str(ports["http"])
    assert ("prometheus.io/scrape" in annotations) != ("ServiceMonitor" in objects)


def look_at_volumes(objects, secrets):
    """secrets: those that are there besides."""
    pod, container = objects["Deployment"]["spec"]["template"]["spec"], container_of(objects)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert len(mounts) == len(container["volumeMounts"]) and len(volumes) == len(pod["volumes"])
    assert set(mounts) == set(volumes) and len(set(mounts.values())) == len(mounts)
    assert volumes["config"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    made = {objects[kind]["metadata"]["name"] if kind == "Secret" else objects[kind]["spec"]["secretName"]
            for kind in ("Secret", "Certificate") if kind in objects}
    for volume in volumes.values():
        if "secret" in volume:
            assert volume["secret"]["secretName"] in made | set(secrets) and volume["secret"]["defaultMode"] & 0o007 == 0
    assert container["args"] == [mounts["config"] + "/pgweir.ini"]
    for file in re.findall(r"= (/\S+)$", objects["ConfigMap"]["data"]["pgweir.ini"], re.MULTILINE):
        folder, name = os.path.split(file)
        assert folder in mounts.values() and name in {"users.txt", "tls.crt", "tls.key", "ca.crt"}, file


def look_at_the_pod(objects):
    spec = objects["Deployment"]["spec"]
    pod, container = spec["template"]["spec"], container_of(objects)
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert ("replicas" in spec) == ("HorizontalPodAutoscaler" not in objects)
    if "HorizontalPodAutoscaler" in objects:
        scaler = objects["HorizontalPodAutoscaler"]["spec"]
        assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment",
                                            "name": objects["Deployment"]["metadata"]["name"]}
        assert 1 <= scaler["minReplicas"] <= scaler["maxReplicas"] and "cpu" in container["resources"]["requests"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"]}}
    assert pod["automountServiceAccountToken"] is False
    account = objects.get("ServiceAccount", {"metadata": {"name": "default"}})["metadata"]["name"]
    assert pod["serviceAccountName"] == account
    ini = objects["ConfigMap"]["data"]["pgweir.ini"]
    stop = [int(seconds) for seconds in re.findall(r"^shutdown_(?:delay|timeout) = (\d+)s$", ini, re.MULTILINE)]
    pause = container.get("lifecycle", {"preStop": {"exec": {"command": ["sleep", "0"]}}})["preStop"]["exec"]["command"]
    assert len(stop) == 2 and pause[0] == "sleep" and isinstance(pause[1], str)
    assert pod["terminationGracePeriodSeconds"] > sum(stop) + int(pause[1])
    memory, limit = re.search(r"max_memory = (\d+)MB", ini)[1], container["resources"]["limits"]["memory"]
    assert int(memory) < int(limit.removesuffix("Mi"))


def look_at(objects, secrets=()):
    objects = {kind: one for kind, one in objects.items() if kind != "notes"}
    look_at_the_whole(objects)
    look_at_selectors(objects)
    look_at_ports(objects)
    look_at_volumes(objects, secrets)
    look_at_the_pod(objects)


def check_config(objects, tmp_path):
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    authority, ini = Authority(tmp_path), objects["ConfigMap"]["data"]["pgweir.ini"]
    made = authority.issue("server", "/CN=pool")
    files = {"users.txt": tmp_path / "users.txt", "tls.crt": made.certificate, "tls.key": made.key, "ca.crt": authority.ca}
    files["users.txt"].write_text(USERS)
    files["users.txt"].chmod(0o600)
    for name, path in files.items():
        ini = re.sub(rf"= /etc/pgweir[\w-]*/{re.escape(name)}$", f"= {path}", ini, flags=re.MULTILINE)
    (tmp_path / "pgweir.ini").write_text(ini)
    done = subprocess.run([binary, "--check-config", tmp_path / "pgweir.ini"], capture_output=True, text=True, check=False,
                          timeout=20 * SLOWNESS)
    assert done.returncode == 0 and "0 errors" in done.stdout + done.stderr, (done, ini)


@pytest.mark.parametrize("case", CASES)
def test_it_renders_what_works(chart, tmp_path, case):
    objects = chart(**CASES[case])
    look_at(objects, secrets=("mine", "front", "back"))
    check_config(objects, tmp_path)
    assert "pool.db.svc" in objects["notes"] and "{{" not in objects["notes"]


def test_each_value_has_its_effect(chart):
    objects = chart(**CASES["everything"])
    assert set(objects) - {"notes"} == set(KINDS) - {"Certificate"}
    pod = objects["Deployment"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert pod["metadata"]["labels"]["team"] == "db" and pod["metadata"]["annotations"]["x"] == "1"
    assert container["image"] == "r.example.com/pgweir:1.2" and container["env"] == [{"name": "TZ", "value": "UTC"}]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "7"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 87
    assert container["readinessProbe"] == {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 2}
    given = CASES["everything"]
    for word in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "imagePullSecrets",
                 "priorityClassName"):
        assert pod["spec"][word] == given[word], word
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    assert objects["Service"]["spec"]["ports"][0]["port"] == 6432 and objects["Service"]["spec"]["type"] == "LoadBalancer"
    assert objects["ServiceMonitor"]["metadata"]["labels"]["release"] == "prometheus"
    policy = objects["NetworkPolicy"]["spec"]
    assert [rule["from"] for rule in policy["ingress"]] == [given["networkPolicy"]["clients"],
                                                            given["networkPolicy"]["metrics"]]
    assert policy["egress"][1] == {"to": given["networkPolicy"]["postgres"], "ports": [
        {"port": 5432, "protocol": "TCP"}, {"port": 5433, "protocol": "TCP"}]}
    assert objects["HorizontalPodAutoscaler"]["spec"]["behavior"] == given["autoscaling"]["behavior"]
    assert objects["ServiceAccount"]["metadata"]["annotations"] == {"role": "x"}
    assert "maxReplicas (4)" in objects["notes"] and "with TLS (require)" in objects["notes"]


def test_annotations_of_the_values_come_first(chart):
    pod = chart(**CASES["databases"])["Deployment"]["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/scrape"] == "false"


def test_the_settings_are_those_of_the_values(chart):
    ini = chart(**CASES["databases"])["ConfigMap"]["data"]["pgweir.ini"]
    assert "max_client_connections = 1000000\n" in ini and "[database *]" not in ini
    assert "[database app]\npool_size = 30\nserver_tls_mode = require\nupstream = host=db2 port=5433\n" in ini
    assert ini.endswith("[user app]\npool_size = 7\n") and "[tls_client]" not in ini
    ini = chart(**CASES["tls"])["ConfigMap"]["data"]["pgweir.ini"]
    assert "[tls_client]\nca_file = /etc/pgweir-tls/ca.crt\ncertificate_file = /etc/pgweir-tls/tls.crt\n" in ini
    assert "[tls_server]\nca_file = /etc/pgweir-postgres-tls/ca.crt\n" in ini
    made = chart(**CASES["cert-manager"])
    assert made["Certificate"]["spec"]["secretName"] == "pool-tls"
    assert {"pool.db.svc", "db.example.com"} <= set(made["Certificate"]["spec"]["dnsNames"])
    assert "ca_file" not in made["ConfigMap"]["data"]["pgweir.ini"]
    secret = chart(**CASES["defaults"])["Secret"]
    assert secret["stringData"]["users.txt"] == USERS and secret["metadata"]["name"] == "pool-users"
    assert "Secret" not in chart(**CASES["bare"])
    ini = chart(**CASES["budget"])["ConfigMap"]["data"]["pgweir.ini"]
    assert "[limits]\nbudget = on\nbudget_connections = 90\ncluster_user = pgweir\n" in ini
    assert "budget" not in chart(**CASES["defaults"])["ConfigMap"]["data"]["pgweir.ini"]


def test_new_pods_for_another_configuration_alone(chart):
    def checksum(**values):
        return chart(**{"users": USERS, **values})["Deployment"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    first = checksum()
    assert first == checksum(replicas=5, serviceMonitor={"enabled": True})
    others = [checksum(users=USERS + '"z" "z"\n'), checksum(settings={"pool": {"pool_size": 9}}),
              checksum(upstream="host=other"), checksum(shutdown={"delaySeconds": 6})]
    assert len({first, *others}) == 5


@pytest.mark.parametrize("values, told", [
    ({}, "set users (--set-file users=users.txt) or existingSecret"),
    ({"users": USERS, "upstream": ""}, "set upstream or databases"),
    ({"users": USERS, "settings": {"timeouts": {"shutdown_delay": "1s"}}}, "settings.timeouts.shutdown_delay: another value"),
    ({"users": USERS, "settings": {"pgweir": {"listen": "*:1"}}}, "settings.pgweir.listen: another value of the chart says it"),
    ({"users": USERS, "budget": "on", "settings": {"limits": {"budget": "on"}}}, "settings.limits.budget: another value"),
    ({"users": USERS, "tls": {"postgres": {"clientCertificate": True}}}, "needs tls.postgres.secretName"),
])
def test_mistakes_that_are_told(chart, values, told):
    chart(fails=told, **values)


@pytest.mark.parametrize("values", [
    {"budget": "yes"}, {"budgetConnections": 3}, {"replica": 3}, {"replicas": "3"}, {"tls": {"clients": {"secret": "x"}}}, {"tls": {"clients": {"mode": "on"}}},
    {"shutdown": {"delaySeconds": "5s"}}, {"service": {"port": 70000}}, {"databases": {"app": "host=db"}},
    {"settings": {"pool": {"pool_size": [1]}}}, {"podLabels": {"a": 1}}, {"upstream": "host=a\nlisten = b"},
])
def test_mistakes_that_the_schema_finds(values):
    jsonschema.validate(merged(DEFAULTS, {"users": USERS}), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(DEFAULTS, values), SCHEMA)


def test_the_schema_knows_each_value_and_no_other():
    def compare(values, schema, path):
        if schema.get("additionalProperties") is False:
            assert set(values) == set(schema["properties"]) - {"global", "group"}, path
            for key, value in values.items():
                if isinstance(value, dict):
                    compare(value, schema["properties"][key], [*path, key])
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    compare(DEFAULTS, SCHEMA, [])


def at(one, *path):
    for key in path:
        one = one[key]
    return one


POD = "Deployment", "spec", "template", "spec"
BREAKS = {
    "another label": lambda o: at(o, "Service", "spec", "selector").update({"app.kubernetes.io/instance": "x"}),
    "a selector of the budget": lambda o: at(o, "PodDisruptionBudget", "spec", "selector", "matchLabels").clear(),
    "a label of the pod": lambda o: at(o, *POD[:3], "metadata", "labels").pop("app.kubernetes.io/name"),
    "an old version": lambda o: o["HorizontalPodAutoscaler"].update(apiVersion="autoscaling/v1"),
    "a port that is not there": lambda o: at(o, "Service", "spec", "ports", 0).update(targetPort="pg"),
    "a port that pgweir has not": lambda o: at(o, *POD, "containers", 0, "ports", 1).update(containerPort=9931),
    "a path that is not served": lambda o: at(o, *POD, "containers", 0, "readinessProbe", "httpGet").update(path="/ready"),
    "a monitor of no port": lambda o: at(o, "ServiceMonitor", "spec", "endpoints", 0).update(port="metrics"),
    "a policy for no port": lambda o: at(o, "NetworkPolicy", "spec", "ingress", 0, "ports", 0).update(port="pg"),
    "a volume too few": lambda o: at(o, *POD, "volumes").pop(),
    "a Secret that is not there": lambda o: at(o, *POD, "volumes", 1, "secret").update(secretName="x"),
    "too little time": lambda o: at(o, *POD).update(terminationGracePeriodSeconds=77),
    "root": lambda o: at(o, *POD, "securityContext").update(runAsNonRoot=False),
    "a file system to write": lambda o: at(o, *POD, "containers", 0, "securityContext").pop("readOnlyRootFilesystem"),
    "replicas beside the scaler": lambda o: at(o, "Deployment", "spec").update(replicas=2),
    "a pod too few in an update": lambda o: at(o, "Deployment", "spec", "strategy", "rollingUpdate").update(maxUnavailable=1),
    "another account": lambda o: at(o, *POD).update(serviceAccountName="x"),
    "a file that is not mounted": lambda o: at(o, "ConfigMap", "data").update(
        {"pgweir.ini": at(o, "ConfigMap", "data", "pgweir.ini") + "ca_file = /etc/other/ca.crt\n"}),
}


@pytest.mark.parametrize("break_", BREAKS)
def test_these_checks_can_fail(chart, break_):
    objects = chart(**CASES["everything"])
    look_at(objects, secrets=("front",))
    BREAKS[break_](objects)
    with pytest.raises((AssertionError, KeyError)):
        look_at(objects, secrets=("front",))
