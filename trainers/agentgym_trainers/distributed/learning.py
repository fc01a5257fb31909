"""``agentgym train`` as one of several processes: rank 0 runs the training loop, others follow."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from agentgym.errors import UsageError
from agentgym_trainers.config import RunConfig
from agentgym_trainers.distributed.orders import Begin, Stop
from agentgym_trainers.distributed.ranks import Ranks, Waits, joined_ranks
from agentgym_trainers.distributed.sharded_learner import ShardedLearner
from agentgym_trainers.lora import adapt
from agentgym_trainers.policy import Policy, load_policy, pick_device
from agentgym_trainers.trainer import MakeLearner, optimizer_settings

Train = Callable[[MakeLearner], Coroutine[Any, Any, None]]


def train_together(config: RunConfig, train: Train) -> None:
    """Take this process's part in a run whose learner is ``fsdp``.

    Args:
        train: The whole run, given what makes its learner; only rank 0 calls it.

    Raises:
        UsageError: Not started by ``torchrun``.
        PeerError: Another rank did not answer.
    """
    device = _own_device(config.device)
    cluster = config.cluster
    waits = Waits(collective_s=cluster.collective_s, order_s=cluster.order_s)
    with joined_ranks(device, waits) as ranks:
        if ranks.leads:
            with _letting_go(ranks):
                asyncio.run(train(lambda *parts: _leading(ranks, *parts)))
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 decides when to stop
            _follow(config, ranks)


def _leading(ranks: Ranks, config: RunConfig, policy: Policy, folder: Path) -> ShardedLearner:
    ranks.tell(Begin(policy.source))
    return _sharded(ranks, config, policy, folder)


def _follow(config: RunConfig, ranks: Ranks) -> None:
    order = ranks.hear()
    if isinstance(order, Begin):  # rank 0 may have found a mistake in the configuration instead
        policy = load_policy(order.source, device=config.device, dtype=config.dtype)
        adapt(policy, config)
        assert config.run_dir is not None  # read_arguments fills it in
        _sharded(ranks, config, policy, config.run_dir).follow()


def _sharded(ranks: Ranks, config: RunConfig, policy: Policy, folder: Path) -> ShardedLearner:
    settings = config.train.optimizer
    with ranks.waiting("all ranks to hold their share of the model"):
        return ShardedLearner(
            policy.model,
            optimizer_settings(settings, config.train.steps * config.train.minibatches),
            ranks,
            micro_batch_tokens=settings.micro_batch_tokens,
            compute_dtype=policy.compute_dtype,
            packed=settings.packed,
            recompute=settings.activation_checkpointing,
            diverged_folder=folder,
        )


@contextmanager
def _letting_go(ranks: Ranks) -> Iterator[None]:
    """Tell the others to stop at the end, whatever it was, if they still listen."""
    try:
        yield
    finally:
        if not ranks.broken:
            ranks.tell(Stop())


def _own_device(name: str) -> torch.device:
    """This rank's device; ``cuda`` is the one of its local number.

    Raises:
        UsageError: A device by number, which all ranks would share.
    """
    device = pick_device(name)
    if device.index is not None:
        raise UsageError(f"device={name} is one for all ranks; use device=cuda, one for each")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return device
