"""How many episodes may be begun, so that none is trained on too late."""

from __future__ import annotations


def capacity(
    *,
    max_concurrent: int,
    running: int,
    staleness: int,
    version: int,
    batch: int,
    accepted: int,
) -> int:
    """Episodes that may be begun now; negative when too many are (AReaL, arXiv:2505.24298).

    Args:
        max_concurrent: Episodes at once.
        running: Episodes begun and not over.
        staleness: η, how many updates may lie between the weights an episode began with and those
            it is trained on. With 0 nothing is begun before what was begun is trained on.
        version: Updates so far.
        batch: Episodes of an update.
        accepted: Episodes over and trained on, or going to be. A rejected or failed one is in no
            sum, so that its place is free again.
    """
    fresh = (staleness + version + 1) * batch - (accepted + running)
    return min(max_concurrent - running, fresh)
