"""Live progress: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Report = Callable[[int, Mapping[str, float]], None]
Describe = Callable[[Mapping[str, float]], str]


@contextmanager
def progress(
    console: Console, title: str, total: int, describe: Describe, *, done: int = 0, lines: int = 5
) -> Iterator[Report]:
    """A function that reports finished steps.

    Args:
        describe: Makes a short text of a step's metrics.
        done: Steps that are done already.
        lines: Without a terminal, a line every so many steps.
    """
    if not console.is_terminal:

        def print_line(step: int, metrics: Mapping[str, float]) -> None:
            if step == done + 1 or step % lines == 0 or step == total:
                console.print(f"{title} {step}/{total}  {describe(metrics)}", highlight=False)

        yield print_line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, completed=done, note="")

        def move_bar(step: int, metrics: Mapping[str, float]) -> None:
            bar.update(task, completed=step, note=describe(metrics))

        yield move_bar
