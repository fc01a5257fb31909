"""``agentgym view``: where a run stands; or one of its episodes, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentgym.episode import Episode
from agentgym.episode_io import read_episodes
from agentgym.errors import DataError
from agentgym.messages import Message
from agentgym_trainers.checkpoint import best_checkpoint, list_checkpoints, load_state
from agentgym_trainers.ledger import Ledger
from agentgym_trainers.run_folder import read_metrics

_SHOWN = (
    "episode/success",
    "episode/reward",
    "learner/loss",
    "learner/entropy",
    "learner/mismatch",
    "groups/trained",
    "groups/rejected",
    "env_errors",
    "staleness/mean",
    "staleness/max",
    "time/step_s",
    "time/idle_engine",
    "time/idle_environments",
    "time/idle_learner",
)
_NEWEST = 10


def main(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    episode: Annotated[str, typer.Option(help="Show this episode, such as train3.0.1.0.")] = "",
) -> None:
    """Show the newest metrics of a run, the fate of its episodes, and its checkpoints."""
    console = Console()
    if episode:
        for said in _conversation(_find(run, episode)):
            console.print(said, soft_wrap=True)
        return
    lines = [line for line in read_metrics(run) if "episode/reward" in line]
    if not lines:
        raise DataError(f"{run}: no training step in metrics.jsonl yet; look again after the first")
    console.print(_metrics(lines))
    for line in _facts(run):
        console.print(line, soft_wrap=True, highlight=False)


def _metrics(lines: list[dict[str, Any]]) -> Table:
    newest = lines[-_NEWEST:]
    table = Table("", "newest", f"mean of {len(newest)}", title=f"step {lines[-1]['step']}")
    for name in _SHOWN:
        values = [line[name] for line in newest if name in line]
        if values:
            table.add_row(name, f"{values[-1]:.4g}", f"{sum(values) / len(values):.4g}")
    return table


def _facts(run: Path) -> Iterator[str]:
    looks = [line for line in read_metrics(run) if "val/success" in line]
    if looks:
        yield f"validation: {looks[-1]['val/success']:.1%} at step {looks[-1]['step']}"
    checkpoints = list_checkpoints(run / "checkpoints")
    if checkpoints:
        _, state = load_state(checkpoints[-1])
        yield f"episodes as of {checkpoints[-1].name}: {_counts(state.get('ledger'))}"
        yield f"checkpoints: {', '.join(one.name for one in checkpoints)}"
    best = best_checkpoint(run / "checkpoints")
    if best is not None:
        yield f"best: {best}"
    trace = run / "trace.json"
    yield (
        f"timeline: {trace}, for chrome://tracing or ui.perfetto.dev"
        if trace.exists()
        else "timeline: none; train.trace=true leaves one"
    )


def _counts(ledger: Mapping[str, Any] | None) -> str:
    if ledger is None:
        return "not kept by the version that made this run"
    kept = Ledger(ledger["group_size"])
    kept.load_state_dict(dict(ledger))
    return ", ".join(f"{count} {state}" for state, count in kept.counts().items() if count)


def _find(run: Path, name: str) -> Episode:
    files = sorted((run / "episodes").glob("*.jsonl.zst"))
    for file in reversed(files):
        for one in read_episodes(file):
            if one.id == name:
                return one
    raise DataError(
        f"{run}: no episode {name!r} in {len(files)} files; ids are such as train0.0.1.0: "
        "group train0.0, member 1, first try"
    )


def _conversation(episode: Episode) -> Iterator[Text]:
    yield Text(f"{episode.id}: {episode.ending.value}, reward {episode.reward:g}", "bold")
    for message in episode.opening.messages if episode.opening else ():
        yield _said(message)
    for turn in episode.turns:
        yield Text(f"── turn {turn.index} ({turn.kind}) {_sampled(episode, turn.index)}", "dim")
        yield _said(turn.action.as_message())
        if turn.result is not None:
            for message in turn.result.messages:
                yield _said(message)
            yield Text(f"rewards: {_numbers(turn.result.rewards)}", "dim")


def _said(message: Message) -> Text:
    return Text(f"[{message.role}] {message.text}")


def _sampled(episode: Episode, turn: int) -> str:
    """How long the turn was, how likely, and by which weights."""
    own = [(one, one.mask & (one.turn_ids == turn)) for one in episode.segments]
    logprobs = [float(x) for one, mask_T in own for x in one.logprobs[mask_T]]
    versions = sorted({int(x) for one, mask_T in own for x in one.versions[mask_T]})
    if not logprobs:
        return ""
    mean = sum(logprobs) / len(logprobs)
    weights = "–".join(str(one) for one in dict.fromkeys((versions[0], versions[-1])))
    return f"{len(logprobs)} tokens, {mean:.2f} nats each, weights of step {weights}"


def _numbers(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items()) or "none"
