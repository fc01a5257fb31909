"""The manifest for a cluster says what the documents say. It is parsed here, not applied."""

from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from agentgym.cli import app

MANIFEST = Path(__file__).parent.parent / "examples" / "kubernetes" / "sandbox-servers.yaml"


def documents() -> dict[str, dict[str, Any]]:
    """The manifest's objects by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(MANIFEST.read_text())}


def test_sandboxes_have_no_way_out_and_one_way_in() -> None:
    policy = documents()["NetworkPolicy"]["spec"]
    labels = documents()["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []
    (way_in,) = policy["ingress"]
    assert [port["port"] for port in way_in["ports"]] == [8700]
    assert way_in["from"][0]["podSelector"]["matchLabels"] == {"app": "agentgym-trainer"}


def test_the_server_is_started_with_options_that_exist() -> None:
    pod = documents()["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["agentgym", "sandbox", "serve"]
    usage = CliRunner().invoke(app, ["sandbox", "serve", "--help"], env={"COLUMNS": "200"}).output
    for argument in container["args"]:
        assert argument.partition("=")[0] in usage
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "/run/secrets/agentgym" in mounts
    assert not any(volume.get("hostPath") for volume in pod["volumes"])
    assert pod["automountServiceAccountToken"] is False


def test_every_object_is_in_the_namespace() -> None:
    for kind, one in documents().items():
        if kind != "Namespace":
            assert one["metadata"]["namespace"] == "agentgym-sandboxes"
