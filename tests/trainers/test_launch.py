"""``agentgym launch``: all parts of a run, or none, and the one that died is named."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from installed_plugins import register
from short_runs import SETTINGS
from typer.testing import CliRunner

from agentgym.cli import app
from agentgym_trainers.config import load_config
from agentgym_trainers.distributed.launching import Launch, PartEnded
from agentgym_trainers.distributed.parts import Part, parts_of
from agentgym_trainers.run_folder import read_metrics

TESTS = Path(__file__).parent.parent
SLEEP = "import signal; signal.pause()"
LEAVE = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
print(child.pid, flush=True)
{SLEEP}
"""
SERVE = """
import http.server, socketserver
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
with socketserver.TCPServer(("127.0.0.1", 0), Ready) as server:
    open({port!r}, "w").write(str(server.server_address[1]))
    server.serve_forever()
"""


def part(name: str, code: str, **settings: object) -> Part:
    return Part(name, (sys.executable, "-S", "-c", code), **settings)  # type: ignore[arg-type]


async def alive(pid: int) -> bool:
    """Whether the process is there, and more than a zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_when_a_part_dies_it_is_named_and_everything_else_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    dies = f"""
import pathlib, sys
while not pathlib.Path({str(tmp_path / "server-0.log")!r}).read_text().endswith("\\n"): pass
print("out of memory", flush=True)
sys.exit(3)
"""
    parts = [part("server 0", LEAVE), part("server 1", dies), part("trainer", SLEEP, ends_run=True)]
    with pytest.raises(PartEnded, match=r"server 1 ended with 3 \(.*server-1.log: out of memory\)"):
        await Launch(parts, tmp_path).run(said.append)
    grandchild = int((tmp_path / "server-0.log").read_text())
    assert not await alive(grandchild)
    assert [line.partition(":")[0] for line in said] == ["server 0", "server 1", "trainer"]


async def test_the_trainers_end_is_the_end_of_the_run(tmp_path: Path) -> None:
    parts = [part("server 0", LEAVE), part("trainer", "pass", ends_run=True)]
    await Launch(parts, tmp_path).run(lambda line: None)
    told = (tmp_path / "server-0.log").read_text()
    assert not told or not await alive(int(told))


async def test_a_trainer_that_is_killed_is_named(tmp_path: Path) -> None:
    killed = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(PartEnded, match="trainer was killed by SIGKILL; all other parts"):
        await Launch([part("trainer", killed, ends_run=True)], tmp_path).run(lambda line: None)


async def test_others_wait_until_a_server_answers_and_one_that_never_does_is_named(
    tmp_path: Path,
) -> None:
    port = tmp_path / "port"
    async with asyncio.timeout(60):
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", SERVE.format(port=str(port)), stderr=subprocess.DEVNULL
        )
        while not (port.exists() and port.read_text()):
            await asyncio.sleep(0.02)
    url = f"http://127.0.0.1:{port.read_text()}/health"
    try:
        ready = part("server 0", SLEEP, ready_url=url)
        await Launch([ready, part("trainer", "", ends_run=True)], tmp_path).run(lambda line: None)
    finally:
        server.kill()
        await server.wait()
    silent = part("server 0", SLEEP, ready_url=url)
    with pytest.raises(PartEnded, match=r"server 0 did not answer at http://.* within 1 s"):
        await Launch([silent], tmp_path, ready_s=1).run(lambda line: None)


def test_gpus_go_to_learners_first_and_then_to_servers() -> None:
    config = load_config(None, ["cluster.learners=4", "cluster.servers=3", "model=/models/m"])
    *servers, trainer = parts_of(config, ["recipe.yaml", "seed=3"])
    gpus = [server.environment["CUDA_VISIBLE_DEVICES"] for server in servers]
    assert gpus == ["4", "5", "6"]
    assert len({server.ready_url for server in servers}) == 3
    assert "--nproc-per-node=4" in trainer.command
    words = trainer.command[trainer.command.index("agentgym") :]
    assert words[:5] == ("agentgym", "train", "recipe.yaml", "seed=3", "train.learner=fsdp")
    assert trainer.environment["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
    assert trainer.ends_run


def test_one_learner_needs_no_torchrun() -> None:
    (trainer,) = parts_of(load_config(None), ["recipe.yaml"])
    assert trainer.command[1:] == ("-m", "agentgym", "train", "recipe.yaml")


def test_a_dry_run_says_everything_and_starts_nothing(tmp_path: Path) -> None:
    shape = ["cluster.learners=2", "cluster.servers=1", "cluster.workers=2"]
    run = tmp_path / "run"
    done = CliRunner().invoke(app, ["launch", *shape, f"run_dir={run}", "--dry-run"])
    assert done.exit_code == 0
    names = [line.partition(":")[0] for line in done.output.splitlines()]
    assert names == ["server 0", "trainer", "rollout worker 0", "rollout worker 1"]
    assert not run.exists()


@pytest.mark.slow
def test_two_learners_and_two_workers_train(warm_policy_folder: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    register(site, "agentgym-tests", "test/Even-v0 = counting_env:EvenEnv")
    shape = ["cluster.learners=2", "cluster.workers=2", "device=cpu", "train.steps=1"]
    where = [f"model={warm_policy_folder}", f"run_dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "agentgym", "launch", *SETTINGS, *shape, *where],
        env={**os.environ, "PYTHONPATH": f"{site}:{TESTS}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (step,) = [one for one in read_metrics(tmp_path / "run") if "episode/reward" in one]
    assert step["learner/optimizer_steps"] == 1
    assert step["learner/mismatch"] < 1e-4
