"""Ctrl-C while a policy trains: once, twice, three times."""

from __future__ import annotations

import asyncio
import signal

from rich.console import Console


class Interrupts:
    """The first asks for a stop after the step; the second cancels the training, which then saves.

    A third one interrupts at once, as Python does.
    """

    def __init__(self, console: Console) -> None:
        self.stop = False
        self.cancelled = False
        self._console = console
        self._loop = asyncio.get_running_loop()
        self._training = asyncio.current_task()

    def __enter__(self) -> Interrupts:
        self._loop.add_signal_handler(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.remove_signal_handler(signal.SIGINT)

    def heard(self) -> None:
        """The training was cancelled, and has ended; what comes after it may wait again."""
        assert self._training is not None
        self._training.uncancel()

    def _interrupt(self) -> None:
        if not self.stop:
            self.stop = True
            self._console.print(
                "stopping after this step, then saving; Ctrl-C again to save now, without the "
                "episodes that are being played"
            )
            return
        self.cancelled = True
        self._console.print("saving; Ctrl-C again to quit at once, with the checkpoint before")
        self._loop.remove_signal_handler(signal.SIGINT)
        assert self._training is not None
        self._training.cancel()
