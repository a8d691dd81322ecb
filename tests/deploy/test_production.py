"""What the files of deploy/ promise, as far as Python can check it; `make deploy-check` runs the programs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from receiver import settings
from receiver.inbound import requests
from receiver.server import connections
from tests.deploy import files, image

BUILD, FINAL = image.stages()
SERVICES = files.services()
OURS = ("migrate", "runledger-1", "runledger-2", "worker")
REPLICAS = ("runledger-1", "runledger-2")
#: A value of a secret's name that is not a secret: none, an environment variable, or a sample.
_SECRET = re.compile(
    r"sk_case_[A-Za-z0-9]{8}|whsec_[A-Za-z0-9+/]{8}|\b[0-9a-f]{32}\b|://[^@\s/:]+:(?!password|\$)[^@\s]+@"
)


def tracked() -> list[str]:
    """Return the files of deploy/ that are under version control, or will be."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."]
    done = subprocess.run(listed, cwd=files.DEPLOY, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("name", files.YAML)
def test_a_file_of_yaml_can_be_read(name: str) -> None:
    assert isinstance(files.read(name), dict)


@pytest.mark.parametrize("name", [name for name in tracked() if "requirements" not in name])
def test_no_secret_is_in_a_file(name: str) -> None:
    assert not _SECRET.findall(files.text(name))


def test_files_with_secrets_stay_out_of_the_repository() -> None:
    wanted = {name for service in SERVICES.values() for name in service.get("env_file", ())}
    assert wanted == {"runledger.env", "postgres.env", "caddy.env"}
    for name in wanted:
        subprocess.run(["git", "check-ignore", "--quiet", name], cwd=files.DEPLOY, check=True)


def test_the_compose_file_is_valid_by_its_schema() -> None:
    tool = str(Path(sys.executable).parent / "check-jsonschema")
    command = [tool, "--builtin-schema", "vendor.compose-spec", str(files.DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_two_replicas_stand_on_postgresql_18_behind_caddy_with_prometheus() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "caddy", "prometheus"}
    assert SERVICES["postgres"]["image"] == "postgres:18"


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_waits_for_the_schema(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_and_write_no_more_than_they_must(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service
    assert int(service["stop_grace_period"].removesuffix("s")) > 18


@pytest.mark.parametrize("name", ["worker", "migrate"])
def test_what_does_not_listen_has_no_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"] == {"disable": True}


def test_only_caddy_can_be_reached_from_outside() -> None:
    open_to_all = {
        name
        for name, service in SERVICES.items()
        if any(not port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    }
    assert open_to_all == {"caddy"}
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert files.read("compose.yaml")["networks"]["database"] == {"internal": True}


def test_the_address_of_a_caller_is_believed_from_caddys_network() -> None:
    (subnet,) = files.read("compose.yaml")["networks"]["inside"]["ipam"]["config"]
    given = SERVICES["runledger-1"]["environment"]
    assert given["RUNLEDGER_TRUSTED_PROXIES"] == subnet["subnet"]
    assert set(given) <= {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}


def test_files_that_containers_are_given_are_there() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    given = [mount.partition(":")[0] for mount in mounts if mount.startswith("./")]
    assert given
    assert all((files.DEPLOY / path).is_file() for path in given)


def test_prometheus_and_caddy_ask_the_replicas_that_there_are() -> None:
    (job,) = files.read("prometheus.yml")["scrape_configs"]
    addresses = [f"{name}:8080" for name in REPLICAS]
    assert (job["job_name"], job["static_configs"]) == ("runledger", [{"targets": addresses}])
    assert f"{{$REPLICAS:{' '.join(addresses)}}}" in files.text("Caddyfile")


def test_the_proxy_lets_go_of_connections_before_the_server_does() -> None:
    (kept,) = re.findall(r"keepalive (\d+)s", files.text("Caddyfile"))
    assert int(kept) < connections.Limits().idle


def test_the_proxy_checks_the_health_of_replicas_and_not_that_of_case_dev() -> None:
    assert re.findall(r"health_uri (\S+)", files.text("Caddyfile")) == ["/healthz"]


def test_the_proxy_takes_larger_bodies_than_the_server() -> None:
    limits = [int(megabytes) * 1_000_000 for megabytes in re.findall(r"max_size (\d+)MB", files.text("Caddyfile"))]
    assert min(limits) > settings.Settings.model_fields["body_limit"].default
    assert max(limits) > requests.MAX_READ_BYTES, "a 413 of the proxy loses a genuine event for good"


def test_the_image_installs_nothing_that_has_no_hash() -> None:
    installs = [step for step in BUILD.all("RUN") if re.search(r"\b(install|wheel)\b", step)]
    assert len(installs) == 4
    for step in installs:
        assert "--require-hashes" in step or (
            "--no-deps" in step and re.search("--no-(build-isolation|index)", step)
        )
    assert "pip" not in " ".join(FINAL.all("RUN"))


def test_the_image_runs_as_a_user_of_its_own_and_can_do_without_a_shell_or_curl() -> None:
    assert FINAL.all("USER") == ["10001:10001"]
    assert FINAL.health[0] == "python"
    assert FINAL.listed("ENTRYPOINT") == ["runledger"]
    assert "ca-certificates" in FINAL.all("RUN")[0]


def test_the_image_has_the_python_that_the_lock_is_made_for() -> None:
    (version,) = re.findall(r"--python-version (\S+)", (files.DEPLOY.parent / "Makefile").read_text())
    assert f"ARG PYTHON={version}\n" in files.text("Dockerfile")


def test_the_image_is_given_what_it_copies_and_nothing_else() -> None:
    copied = {source for step in BUILD.all("COPY") for source in step.split()[:-1]}
    let_in = {line[1:] for line in files.text("Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    assert copied == let_in
    assert all((files.DEPLOY.parent / source).exists() for source in copied)


@pytest.mark.parametrize("name", files.UNITS)
def test_a_unit_runs_as_a_user_of_its_own_and_gives_a_drain_its_time(name: str) -> None:
    unit = files.unit(name)
    assert unit["User"] == ["runledger"]
    assert unit["Restart"] == ["always"]
    assert int(unit["TimeoutStopSec"][0]) > 18
    assert unit["ExecStart"][0].startswith("/opt/runledger/bin/runledger ")


def test_both_units_are_hardened_alike() -> None:
    server, worker = (files.unit(name) for name in files.UNITS)
    differ = {key for key in server | worker if server.get(key) != worker.get(key)}
    assert differ == {"Description", "ExecStart"}


def test_litestream_looks_at_the_file_that_the_unit_keeps() -> None:
    (database,) = files.read("litestream.yml")["dbs"]
    assert database["path"] == f"/var/lib/{files.unit('runledger.service')['StateDirectory'][0]}/runledger.db"


def test_the_compose_file_says_nothing_twice() -> None:
    # In YAML a later key silently replaces an earlier one.
    class Strict(yaml.SafeLoader):  # type: ignore[misc]
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, object]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(set(keys)) == len(keys)
        loader.flatten_mapping(node)
        return dict(loader.construct_pairs(node))

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for name in files.YAML:
        yaml.load(files.text(name), Strict)
