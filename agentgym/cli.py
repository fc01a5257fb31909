"""The command line. Commands are plugins (``agentgym.commands``), loaded when called."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from agentgym.errors import AgentGymError, UnknownName
from agentgym.plugins import load_plugin, plugins
from agentgym.registry import env_ids, why_unusable

_GROUP = "agentgym.commands"


class _Commands(TyperGroup):
    """The built-in commands, and those that plugins register."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({*super().list_commands(ctx), *plugins(_GROUP)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None:
            return built_in
        if cmd_name not in plugins(_GROUP):
            raise UnknownName("command", cmd_name, self.list_commands(ctx), "agentgym --help")
        plugin = load_plugin(_GROUP, cmd_name)
        if not isinstance(plugin, typer.Typer):  # a function is one command, a Typer has its own
            function, plugin = plugin, typer.Typer(add_completion=False)
            plugin.command(cmd_name)(function)
        return typer.main.get_command(plugin)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        # Help must not import every plugin: names only.
        with formatter.section("Commands"):
            formatter.write_text(" ".join(self.list_commands(ctx)))


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="A gym for language-model agents, and its trainer.",
)


@app.callback()
def _root() -> None:
    pass


@app.command("list")
def list_envs(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """All environments, and what is missing for those that cannot run here."""
    rows = [{"id": env_id, "problem": why_unusable(env_id)} for env_id in env_ids()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table()
    table.add_column("environment")
    table.add_column("usable here")
    for row in rows:
        table.add_row(row["id"], row["problem"] or "yes")
    Console().print(table)


def main() -> None:
    """Run a command. A mistake of the caller is one line and exit code 2."""
    try:
        app()
    except AgentGymError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
