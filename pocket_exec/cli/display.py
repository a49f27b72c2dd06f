"""The run as the terminal shows it while it goes on: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

from pocket_exec.cli.figures import count, percent, printable
from pocket_exec.cli.lines import dataset_line, progress_line
from pocket_exec.cli.pace import Pace, Progress, together
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

log = logging.getLogger(__name__)

P = ParamSpec("P")

_LINE_S, _LONGEST_LINE_S = 5.0, 60.0
"""Seconds between two plain lines at first, and after 20 minutes: the log of a night should be readable too."""
_STAGE_S = 1.0
_REFRESH_HZ = 2.0


def time_of_day() -> str:
    """Return the local time as log lines have it."""
    return time.strftime("%H:%M:%S")


def _harmless(method: Callable[Concatenate[Display, P], None]) -> Callable[Concatenate[Display, P], None]:
    """Let a fault of ``method`` end the display, not the run (rich leaves the program on a broken pipe)."""

    @functools.wraps(method)
    def guarded(self: Display, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self._off:
            return
        try:
            method(self, *args, **kwargs)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._give_up(error)

    return guarded


class Display:
    """Shows what a ``Listener`` is told; use it as a context manager around the run.

    Bars are drawn by rich's own refresh thread, twice a second: redrawing as chunks come in would leave the clock
    standing while the chunks are long. That thread is a daemon, touches no signal and runs on terminals only (not in
    Jupyter, in a dumb terminal or a pipe). It reads counters that one thread writes, without a lock of this class: a
    signal handler that prints can therefore not be caught between two locks.

    Memory does not grow with the number of chunks.
    """

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], str] = time_of_day,
    ) -> None:
        """Show on ``console``, or nothing at all if ``quiet``; ``live`` says whether in bars (default: if it can)."""
        self._console = console
        self._off = quiet
        self._live = live
        self._clock = clock
        self._time_of_day = time_of_day
        self._bars = ExitStack()
        self._rows: dict[str, Progress] = {}
        self._pace: Pace | None = None
        self._stage = ""
        self._picture_before: RenderableType = ""
        self._began = clock()
        self._line_at = self._last_line = self._began
        self._keep_last_picture: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and any(row.chunks for row in self._rows.values()):
            self._keep_last_picture()
        self._stop()

    @_harmless
    def stage(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """Say what goes on outside the chunks: ``reading metadata of 812 files``, ``done`` of ``total``."""
        same = self._stage.startswith(text)
        self._stage = f"{text}: {percent(done, total)}" if done is not None and total else text
        now = self._clock()
        if text and not self._live and (self._due(now) if same else now - self._last_line >= _STAGE_S):
            self._now_and_then(self._stage, now)

    @_harmless
    def note(self, text: str) -> None:
        """Print a line that stays, above the bars."""
        self._line(f"note: {text}", "yellow")

    @_harmless
    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Begin with datasets of which all chunks are known; may be called again with more of them."""
        self._stage = ""
        self._rows = self._rows | {plan.dataset: Progress.of(plan) for plan in plans}
        self._pace = self._pace or Pace(self._clock())
        total = self._total()
        events = count(total.events_planned, "event")
        where = f" of {count(len(self._rows), 'dataset')}" if len(self._rows) > 1 else ""
        self._now_and_then(f"processing {events} in {count(total.chunks_planned, 'chunk')}{where}", self._clock())

    @_harmless
    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        """Count chunks that an earlier run has done; they say nothing of the pace of this one."""
        if dataset in self._rows:
            self._rows[dataset].resume(chunks, events)

    @_harmless
    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        """Count a chunk; ``seconds`` is what it took on its worker."""
        now = self._clock()
        if self._pace is not None:
            self._pace.add(now, events, seconds)
        if dataset in self._rows:
            self._rows[dataset].add(now, events, seconds)
        self._progress_line(now)

    @_harmless
    def chunk_failed(self, failure: Failure) -> None:
        """Count a chunk that was given up; the run's log tells why."""
        if failure.dataset in self._rows:
            self._rows[failure.dataset].fail(failure)
        self._progress_line(self._clock())

    @_harmless
    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Show the final numbers of a dataset; ``total`` is not looked at."""
        row = self._rows.get(outcome.plan.dataset)
        if row is not None:
            row.finish(outcome)
        if not self._live:
            self._line(dataset_line(outcome))

    @_harmless
    def _start(self) -> None:
        self._began = self._clock()
        self._line_at, self._last_line = self._began + _LINE_S, self._began - _STAGE_S
        if self._live is None:
            self._live = shows_bars(self._console)
        if not self._live:
            return
        from rich.live import Live

        from pocket_exec.cli.above import printed_above

        live = Live(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=_REFRESH_HZ,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._keep_last_picture = functools.partial(setattr, live, "transient", False)
        self._bars.enter_context(live)
        self._bars.enter_context(printed_above(self._console))

    @_harmless
    def _stop(self) -> None:
        self._bars.close()

    def _give_up(self, error: BaseException) -> None:
        self._off = True
        try:
            self._bars.close()
        except (Exception, SystemExit):
            log.debug("the display could not be closed", exc_info=True)
        log.warning("the progress display has ended (%s: %s); the run goes on", type(error).__name__, error)

    def _picture(self) -> RenderableType:
        """Return what is to be seen now; called on the refresh thread, where an exception would end it."""
        from rich.console import Group
        from rich.text import Text

        from pocket_exec.cli.bars import Place, picture

        try:
            now = self._clock()
            place = Place(*self._console.size, self._console.encoding)
            parts: list[RenderableType] = []
            if self._rows:
                parts.append(picture(list(self._rows.values()), self._total(), now, now - self._began, place))
            if self._stage:
                stage = printable(self._stage, place.encoding)
                parts.append(Text(stage, style="cyan", no_wrap=True, overflow="crop"))
            self._picture_before = Group(*parts) if parts else ""
        except Exception:
            # The counters change while they are read: the next picture will do.
            log.debug("a picture of the progress failed", exc_info=True)
        return self._picture_before

    def _total(self) -> Progress:
        return together(self._rows.values(), self._pace)

    def _due(self, now: float) -> bool:
        return now >= self._line_at

    def _progress_line(self, now: float) -> None:
        if not self._live and self._due(now) and self._rows:
            done = sum(row.done for row in self._rows.values())
            self._now_and_then(progress_line(self._total(), done, len(self._rows), now), now)

    def _now_and_then(self, text: str, now: float) -> None:
        """Print one of the lines that are told again and again, and settle when the next one is due."""
        self._line(text)
        self._line_at = now + min(_LONGEST_LINE_S, max(_LINE_S, (now - self._began) / 20))

    def _line(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self._last_line = self._clock()
        line = printable(f"{self._time_of_day()} {text}", self._console.encoding)
        self._console.print(Text(line, style=style), soft_wrap=True)


def shows_bars(console: Console) -> bool:
    """Return whether ``console`` is a terminal that can redraw, whatever FORCE_COLOR says about a pipe."""
    try:
        return console.is_interactive and console.is_terminal and console.file.isatty()
    except (AttributeError, ValueError):
        return False
