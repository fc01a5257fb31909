"""Let the shop's oracle run an errand, and keep a picture of every page that it saw.

    python examples/web_trace.py FOLDER [SEED]
"""

import asyncio
import sys
from pathlib import Path

from agentgym import ImagePart, Message
from agentgym_envs.web.env import WebEnv


def pictures(messages: tuple[Message, ...]) -> list[bytes]:
    """The images among the parts of messages, as PNG."""
    parts = [part for one in messages if not isinstance(one.content, str) for part in one.content]
    return [part.data for part in parts if isinstance(part, ImagePart)]


async def trace(folder: Path, seed: int) -> None:
    """Play one episode; print what was said, and write ``0.png``, ``1.png`` and so on."""
    env = WebEnv(
        site="shop",
        site_options={"templates": ["add_and_coupon"]},
        screenshot=True,
        viewport=(960, 540),
    )
    result = await env.begin(seed=seed)
    seen = pictures(result.messages)
    print(result.text)
    while result.ending is None:
        action = env.oracle()
        result = await env.advance(action)
        seen += pictures(result.messages)
        print(f"\n>>> {action}\n{result.rewards} {result.ending or ''}\n{result.text}")
    await env.end()
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(seen):
        (folder / f"{number}.png").write_bytes(picture)


if __name__ == "__main__":
    asyncio.run(trace(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
