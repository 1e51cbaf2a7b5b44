"""The files of deploy/ fit the program and each other: commands, settings, ports, paths, users, times."""

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import kubernetes_validate
import pytest
import yaml

from penstock.broker.local import LocalBroker
from penstock.config import Settings
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Send
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.deploy.commands import parsed, parsed_line, settings_of
from tests.support.server import running_server

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
DOCUMENT = (ROOT / "docs" / "deploying.md").read_text()
COMPOSE = sorted((DEPLOY / "compose").glob("*.yaml"))
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNIT = DEPLOY / "systemd" / "penstock.service"

ANY_KEYS = "AKIDEXAMPLE:a-secret-of-some-length"
ANY_STORE = "postgresql://penstock:secret@postgres:5432/penstock"
DRAIN_SECONDS = Settings().drain_seconds
KNOWN_TO_COMPOSE = set(
    re.findall(
        r"\w+",
        "build image command environment ports volumes depends_on healthcheck ulimits restart stop_grace_period "
        "read_only tmpfs cap_drop security_opt shm_size",
    )
)
SERVER_PATHS = {"/health/live", "/health/ready", "/metrics"}


# -- Docker ------------------------------------------------------------------------------------------------------------


def steps() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [
        (name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def last_stage() -> list[tuple[str, str]]:
    """Return the instructions of what is shipped."""
    at = max(at for at, (name, _) in enumerate(steps()) if name == "FROM")
    return steps()[at:]


def variables_of_the_image() -> dict[str, str]:
    """Return what the image sets."""
    pairs = " ".join(rest for name, rest in last_stage() if name == "ENV").split()
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_image_is_built_in_two_stages_of_one_pinned_base() -> None:
    bases = [rest.split()[0] for name, rest in steps() if name == "FROM"]
    assert bases == ["${PYTHON_IMAGE}"] * 2, "the virtual environment's python is that of the base"
    (base,) = [rest.partition("=")[2] for name, rest in steps() if name == "ARG"]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base), "neither latest nor large"
    (installs,) = [rest for name, rest in steps() if name == "RUN" and "pip" in rest]
    assert 'install ".[all]"' in installs
    assert ("ENV", "PIP_CONSTRAINT=/src/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1") in steps()


def test_what_is_copied_into_the_image_is_there_and_not_ignored() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, rest in steps()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)
    wheel = (ROOT / "pyproject.toml").read_text()
    assert 'readme = "README.md"' in wheel, "what the wheel needs is copied"


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    shipped = dict(last_stage())
    assert re.fullmatch(r"[1-9]\d*:0", shipped["USER"]), "a number: Kubernetes cannot tell what a name may do"
    names = [name for name, _ in last_stage()]
    assert names.index("RUN") < names.index("USER") < names.index("ENTRYPOINT")
    assert "/health/ready" in shipped["HEALTHCHECK"]
    assert "ADD" not in names
    assert not re.search(r"apt-get|curl|sudo|--chown=root", DOCKERFILE)


def test_the_image_serves_on_the_port_it_exposes_and_keeps_data_on_its_volume() -> None:
    shipped, variables = dict(last_stage()), variables_of_the_image()
    assert yaml.safe_load(shipped["ENTRYPOINT"]) == ["penstock"]
    command, flags = parsed(yaml.safe_load(shipped["CMD"]))
    settings = settings_of(flags, {**variables, "PENSTOCK_KEYS": ANY_KEYS})
    assert command == "serve"
    assert settings.port == int(shipped["EXPOSE"])
    assert settings.host == "0.0.0.0"
    assert settings.data_directory == shipped["VOLUME"] == shipped["WORKDIR"]
    tried = int(re.findall(r"--timeout=(\d+)s", shipped["HEALTHCHECK"])[0])
    assert tried > int(re.findall(r"timeout=(\d+)\)", shipped["HEALTHCHECK"])[0]) > 5, "a slow store is told as such"


async def test_the_health_check_of_the_image_tells_good_from_bad() -> None:
    from asyncio import create_subprocess_exec

    program = yaml.safe_load(dict(last_stage())["HEALTHCHECK"].partition("CMD ")[2])
    async with running_server(MemoryStore()) as url:
        port = url.rpartition(":")[2]
        found = []
        for each in (port, "1"):
            process = await create_subprocess_exec(
                sys.executable, *program[1:], env={"PENSTOCK_PORT": each}, stderr=subprocess.DEVNULL
            )
            found.append(await process.wait())
    assert found == [0, 1]


# -- Compose -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.stem)
def test_a_compose_file_is_whole_and_its_server_starts(file: Path) -> None:
    composed = yaml.safe_load(file.read_text())
    assert set(composed) == {"services", "volumes"}
    services = composed["services"]
    for name, service in services.items():
        assert set(service) <= KNOWN_TO_COMPOSE, "no such setting, or one nobody has looked at"
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(composed["volumes"]), name
        for needed, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[needed]
    server = services["penstock"]
    folder, dockerfile = server["build"]["context"], server["build"]["dockerfile"]
    assert (file.parent / folder / dockerfile).resolve() == DEPLOY / "Dockerfile"
    variables = {**variables_of_the_image(), **server["environment"]}
    assert variables["PENSTOCK_KEYS"].startswith("${PENSTOCK_KEYS:?"), "compose says what is missing"
    filled = {name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value) for name, value in variables.items()}
    settings = settings_of({}, {**filled, "PENSTOCK_KEYS": ANY_KEYS})
    (published,) = server["ports"]
    assert published == f"127.0.0.1:{settings.port}:{settings.port}", "not to the world by itself"
    assert int(server["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    if settings.store is not None:
        other = re.findall(r"//(?:[^@/]*@)?(\w+):", settings.store)[0]
        assert other in services
        assert not server.get("volumes"), "its data is elsewhere"
    else:
        assert server["volumes"] == [f"penstock:{settings.data_directory}"]


# -- Kubernetes --------------------------------------------------------------------------------------------------------


def resources() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the file and each resource in it."""
    for file in KUBERNETES:
        for resource in yaml.safe_load_all(file.read_text()):
            yield file.name, resource


def workloads() -> list[tuple[str, dict[str, Any]]]:
    """Return what makes pods."""
    return [(file, each) for file, each in resources() if each["kind"] in ("Deployment", "StatefulSet")]


def test_the_manifests_are_what_kubernetes_takes() -> None:
    checked = []
    for file, resource in resources():
        if resource["apiVersion"].startswith("keda.sh/"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            kubernetes_validate.validate(resource, "1.29", strict=True)
        checked.append((file, resource["kind"]))
    assert len(checked) == 7
    broken = next(each for _, each in workloads())
    broken["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.29", strict=True)


@pytest.mark.parametrize(("file", "workload"), workloads(), ids=lambda each: each if isinstance(each, str) else "")
def test_pods_run_commands_that_exist_with_settings_that_exist(file: str, workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, flags = parsed(container["args"])
    (port,) = container["ports"]
    variables = {**variables_of_the_image(), **{each["name"]: ANY_STORE for each in container["env"]}}
    variables |= {name: ANY_KEYS for name in ("PENSTOCK_KEYS", "PENSTOCK_KEY") if name in variables}
    if command == "serve":
        settings = settings_of(flags, variables)
        listens, drains, paths = settings.port, settings.drain_seconds, SERVER_PATHS
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert settings.store is not None or settings.data_directory in mounted
    else:
        assert command == "work"
        listens, drains, paths = flags["health_port"], flags["drain_seconds"], SERVER_PATHS
        assert "PENSTOCK_KEY" in variables
    assert port["containerPort"] == listens
    probes = [container[name]["httpGet"] for name in container if name.endswith("Probe")]
    assert {probe["path"] for probe in probes} == {"/health/live", "/health/ready"} < paths
    assert {probe["port"] for probe in probes} == {port["name"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live", "a store that is away is no reason to kill"
    notes = workload["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(listens)
    assert notes["prometheus.io/path"] in paths
    before = 5 if "lifecycle" in container else 0
    assert pod["terminationGracePeriodSeconds"] > drains + before, file


@pytest.mark.parametrize(("file", "workload"), workloads(), ids=lambda each: each if isinstance(each, str) else "")
def test_pods_may_do_no_more_than_they_must(file: str, workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(pod["securityContext"]["runAsUser"]) == dict(last_stage())["USER"].partition(":")[0]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    volumes = {each["name"] for each in pod["volumes"]}
    volumes |= {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes, file


def test_what_selects_pods_selects_those_of_its_file() -> None:
    for file in {name for name, _ in resources()}:
        mine = [each for name, each in resources() if name == file]
        labels = [each["spec"]["template"]["metadata"]["labels"] for each in mine if "template" in each.get("spec", {})]
        for each in mine:
            selector = each["spec"].get("selector")
            if selector is None:
                continue
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= has.items() for has in labels), (file, each["kind"])
        for each in (each for each in mine if each["kind"] == "ScaledObject"):
            assert each["spec"]["scaleTargetRef"]["name"] in {made["metadata"]["name"] for made in mine}


def test_every_secret_that_is_asked_for_is_made_by_the_commands_that_are_shown() -> None:
    for file in KUBERNETES:
        text = file.read_text()
        for name, key in re.findall(r"name: (\S+), key: (\w+)\}", text):
            shown = rf"kubectl create secret generic {name} .*--from-literal={key}="
            assert re.search(shown, text.replace("\n# ", " ")), (file.name, name, key)


async def test_the_scaler_reads_the_length_of_the_queue_as_it_will_in_the_cluster() -> None:
    from asyncio import to_thread

    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "workers.yaml").read_text()))
    by_kind = {each["kind"]: each for each in documents}
    (trigger,) = by_kind["ScaledObject"]["spec"]["triggers"]
    asked = trigger["metadata"]
    assert trigger["type"] == "aws-sqs-queue"
    assert trigger["authenticationRef"]["name"] == by_kind["TriggerAuthentication"]["metadata"]["name"]
    parameters = {each["parameter"] for each in by_kind["TriggerAuthentication"]["spec"]["secretTargetRef"]}
    assert parameters == {"awsAccessKeyID", "awsSecretAccessKey"}
    assert asked["queueURL"].startswith(asked["awsEndpoint"] + "/")
    account, queue = asked["queueURL"].removeprefix(asked["awsEndpoint"] + "/").split("/")
    _, flags = parsed(by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"])
    assert flags["queues"] == queue
    assert flags["url"].startswith("http://penstock:3000")

    store = MemoryStore()
    await LocalBroker(store).perform(CreateQueue(queue))
    await LocalBroker(store).perform(Send(queue, (Draft("a"), Draft("b"))))
    key = Key("AKIDEXAMPLE", "a-secret-of-some-length", account)
    async with running_server(store, keys=(key,)) as url:
        counted = {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "0"}

        def ask() -> dict[str, str]:
            sqs = boto3.client(
                "sqs",
                endpoint_url=url,
                region_name=asked["awsRegion"],
                aws_access_key_id=key.access_key_id,
                aws_secret_access_key=key.secret,
            )
            try:
                return sqs.get_queue_attributes(QueueUrl=asked["queueURL"], AttributeNames=[*counted])["Attributes"]
            finally:
                sqs.close()

        assert await to_thread(ask) == {
            "ApproximateNumberOfMessages": "2",
            "ApproximateNumberOfMessagesNotVisible": "0",
        }


# -- systemd -----------------------------------------------------------------------------------------------------------


def test_the_unit_runs_commands_that_exist_with_settings_that_exist() -> None:
    text = UNIT.read_text()
    lines = dict(
        line.split("=", 1) for line in text.splitlines() if re.match(r"(ExecStart|ExecStartPre|TimeoutStop)", line)
    )
    variables = dict(re.findall(r"(PENSTOCK_\w+)=(\S+)", re.findall(r"^Environment=(.*)$", text, re.MULTILINE)[0]))
    command, flags = parsed_line(lines["ExecStart"])
    settings = settings_of(flags, variables)
    assert command == "serve"
    assert settings.data_directory == "/var/lib/" + re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)[0]
    assert flags["config"] == Path("/etc/penstock/penstock.toml")
    assert int(lines["TimeoutStopSec"]) > settings.drain_seconds
    checked, flags_of_check = parsed_line(lines["ExecStartPre"])
    assert (checked, flags_of_check["config"]) == ("check", flags["config"])
    assert "Type=notify" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_is_valid_and_leaves_little_open(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    program = str(Path(sys.executable).with_name("penstock"))
    unit.write_text(UNIT.read_text().replace("/opt/penstock/bin/penstock", program))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    asked = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout
    assert float(re.findall(r"Overall exposure level.*: ([\d.]+)", said)[0]) < 2


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_every_file_is_in_the_document() -> None:
    linked = set(re.findall(r"\]\(\.\./(deploy/[^)]+)\)", DOCUMENT))
    files = {str(path.relative_to(ROOT)) for path in DEPLOY.rglob("*") if path.is_file()}
    assert files - {"deploy/prometheus/penstock.test.yml"} == linked
