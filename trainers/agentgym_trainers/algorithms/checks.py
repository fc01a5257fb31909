"""Which fields of an algorithm go together, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator

from agentgym.errors import ConfigError, UnknownName
from agentgym_trainers.algorithms.record import CLIPPED_LOSSES, Algorithm
from agentgym_trainers.credit import CREDITS
from agentgym_trainers.losses import KL_PENALTIES

_OF_CREDIT = frozenset().union(*(credit.reads for credit in CREDITS.values()))


def check(algorithm: Algorithm) -> Algorithm:
    """The algorithm itself, if it can work.

    Raises:
        ConfigError: It cannot; says why, and what to set instead.
        UnknownName: No such credit.
    """
    if algorithm.credit not in CREDITS:
        raise UnknownName("credit", algorithm.credit, CREDITS)
    problems = [*_credit(algorithm), *_loss(algorithm), *_reference(algorithm)]
    problems += _importance(algorithm)
    if problems:
        raise ConfigError("; ".join(problems))
    return algorithm


def check_stale(algorithm: Algorithm) -> None:
    """Whether it can learn from episodes that older weights played.

    Raises:
        ConfigError: It would take them for its own.
    """
    corrected = algorithm.loss in CLIPPED_LOSSES or algorithm.importance != "none"
    if not corrected and algorithm.credit != "experts":  # imitation does not ask who played
        raise ConfigError(
            f"the loss {algorithm.loss} takes every episode for the present policy's, and with "
            "train.staleness above 0 older weights played some: set importance to token, or take "
            "a loss with a ratio, such as ppo"
        )


def _credit(one: Algorithm) -> Iterator[str]:
    credit = CREDITS[one.credit]
    if credit.critic != one.critic:
        yield (
            f"credit {one.credit!r} reads values at {credit.critic!r}, and critic is "
            f"{one.critic!r}: set critic to {credit.critic!r}, or take another preset "
            "(those with a critic are ppo, ppo_turn, ppo_bilevel and archer)"
        )
    for name in sorted(_OF_CREDIT - credit.reads - {"critic"}):
        if getattr(one, name) != type(one).model_fields[name].default:
            readers = sorted(key for key, other in CREDITS.items() if name in other.reads)
            yield (
                f"{name} does nothing with credit {one.credit!r}: leave it out, or take the credit "
                f"{' or '.join(readers)}"
            )
    if one.credit == "gigpo" and (one.scale == "batch" or one.baseline != "mean"):
        yield "gigpo compares with the group's mean: set baseline to mean, and scale to std or none"
    if one.credit == "utterance" and (one.kl_in == "reward" or one.overlong == "penalty"):
        yield (
            "archer's critics learn from rewards of many rounds, and a penalty is of the policy of "
            "one: set kl_in to loss, and overlong to keep or mask"
        )
    if one.credit == "gated" and not one.gates:
        yield (
            "a gated return needs gates, highest priority first, for example "
            "train.algorithm.gates=[{reward: success, threshold: 1}]"
        )
    if one.credit == "meta_reasoning" and one.alpha > 1:
        yield f"alpha is {one.alpha:g}: rlvmr mixes two terms, so it lies from 0 to 1"
    if one.drop_constant_groups and one.whiten:
        yield (
            "whitened advantages are never all 0, so no group would be dropped: set "
            "drop_constant_groups to false"
        )


def _loss(one: Algorithm) -> Iterator[str]:
    if one.loss in ("gspo", "luspo") and CREDITS[one.credit].varies != "episode":
        yield (
            f"{one.loss} has one ratio for a whole row, so credit that varies within it "
            f"({one.credit!r}) would be averaged away: take the loss ppo, or the credit episode"
        )
    if one.loss in ("gspo", "luspo") and one.aggregation != "sequence":
        yield f"{one.loss} counts rows, not tokens: set aggregation to sequence"
    if one.dual_clip is not None and one.dual_clip <= 1:
        yield (
            f"dual_clip is {one.dual_clip:g}: at 1 or below it would cap the loss of tokens that "
            "did not move; give more than 1, or null"
        )
    if one.dual_clip is not None and one.loss not in CLIPPED_LOSSES - {"cispo"}:
        yield f"dual_clip does nothing with the loss {one.loss}: set it to null"
    if one.positive_weight == one.negative_weight == 0:
        yield "positive_weight and negative_weight are both 0: nothing would be learned"


def _reference(one: Algorithm) -> Iterator[str]:
    wanted = one.kl != "none" and one.kl_coefficient > 0
    if one.reference != "none" and not wanted:
        yield (
            f"a reference model is held in memory, but kl is {one.kl} with coefficient "
            f"{one.kl_coefficient:g}, so nothing asks for it: set both, or reference to none"
        )
    elif one.reference == "none" and (one.kl != "none" or one.kl_coefficient > 0):
        yield (
            f"kl is {one.kl} with coefficient {one.kl_coefficient:g}, but there is no reference to "
            "measure it from: set reference to initial (and kl to a divergence)"
        )
    if one.kl_in == "reward" and one.kl not in ("none", *KL_PENALTIES):
        yield (
            f"{one.kl} has its meaning in its gradient, and a reward has none: take one of "
            f"{', '.join(KL_PENALTIES)}, or set kl_in to loss"
        )


def _importance(one: Algorithm) -> Iterator[str]:
    if one.decoupled and one.importance == "none":
        yield (
            "decoupled takes the ratio from the round's start, so without importance weights what "
            "happened before it is not corrected: set importance to token or sequence"
        )
    if one.decoupled and one.loss not in CLIPPED_LOSSES:
        yield f"the loss {one.loss} has no ratio to decouple: set decoupled to false"
    if one.importance != "none" and not one.decoupled and one.loss in CLIPPED_LOSSES:
        yield (
            f"the ratio of {one.loss} already corrects for the policy that sampled, and importance "
            "weights would do it twice: set decoupled to true, or importance to none"
        )
    if one.importance_floor > one.importance_cap:
        yield (
            f"importance_floor {one.importance_floor:g} lies above importance_cap "
            f"{one.importance_cap:g}: lower it"
        )
