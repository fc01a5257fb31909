"""One call of the ``vllm`` engine while it is answered, by one replica or by several."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentgym.engine import Generation, Sampling
from agentgym.messages import FinishReason
from agentgym_trainers.engines.stop_strings import Decode, says_stop
from agentgym_trainers.engines.vllm.replica import Answer


@dataclass(slots=True, eq=False)
class Call:
    """A prompt, and what was sampled after it so far.

    ``waits_for`` is said when time runs out. ``request_id`` is that of the request on its way.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    conversation: str
    decode: Decode
    waits_for: str = "its turn"
    request_id: str = ""
    aborted: bool = False
    prefilled: int | None = 0
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def take(self, answer: Answer, versions: tuple[int, ...]) -> FinishReason | None:
        """Add what was sampled, and by which weights; the reason to end, if there is one.

        A greedy token's distribution is a single point, whatever vLLM says of it.
        """
        if self.prefilled is None or answer.cached is None:
            self.prefilled = None
        else:
            self.prefilled += len(self.prompt) + len(self.sampled) - answer.cached
        before = len(self.sampled)
        self.sampled += answer.token_ids
        greedy = self.sampling.temperature == 0
        self.logprobs += [0.0] * len(answer.token_ids) if greedy else answer.logprobs
        self.versions += versions
        if before and self.sampling.stop and self._stop_across(before):
            return "stop"
        if answer.finish_reason != "abort":
            return answer.finish_reason
        return "length" if len(self.sampled) >= self.sampling.max_tokens else None

    def generation(self, reason: FinishReason, version: int) -> Generation:
        """What is given back."""
        newest = self.versions[-1] if self.versions else version
        spans = any(one != newest for one in self.versions)
        return Generation(
            tuple(self.sampled),
            tuple(self.logprobs),
            reason,
            newest,
            self.prefilled,
            tuple(self.versions) if spans else (),
        )

    def _stop_across(self, before: int) -> bool:
        """Cut after a stop string that vLLM saw only the end of."""
        longest = max(len(one.encode()) for one in self.sampling.stop)
        for end in range(before + 1, min(len(self.sampled), before + longest) + 1):
            if says_stop(self.sampled[:end], self.sampling.stop, self.decode):
                del self.sampled[end:], self.logprobs[end:], self.versions[end:]
                return True
        return False
