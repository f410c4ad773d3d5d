"""What a sweep shows in a terminal."""

from typing import Any

from tqdm import tqdm

from ecgbook.runs.claims import Outcome
from ecgbook.runs.run import Run

__all__ = ["Bar", "run_title"]


def run_title(run: Run) -> str:
    """A run in a few words.

    >>> run_title(Run("demo", "ptbxl", "1.0.3", "rhythm", "lstm", "supervised", "paper", seed=2))
    'ptbxl rhythm lstm seed 2'
    """
    model = run.model if run.model != "none" else run.method
    params = [f"{name}={value}" for name, value in run.params.items()]
    return " ".join([run.dataset, run.task, model, *params, f"seed {run.seed}"])


class Bar:
    """A progress bar over runs, with the epochs of those under way; a line for each run that ends.

    Args:
        total: Number of runs to do.
    """

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="run", disable=None, dynamic_ncols=True)
        self._running: dict[str, str] = {}

    def started(self, run: Run) -> None:
        self._running[run.hash] = f"{run.model}/{run.seed}"
        self._show()

    def progress(self, run: Run, event: tuple[Any, ...]) -> None:
        done, total = event
        self._running[run.hash] = f"{run.model}/{run.seed} {done}/{total}"
        self._show()

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._running.pop(run.hash, None)
        if outcome in ("finished", "failed"):
            tqdm.write(f"{outcome:8} {run_title(run)}")
        self._bar.update()
        self._show()

    def close(self) -> None:
        self._bar.close()

    def _show(self) -> None:
        self._bar.set_postfix_str(", ".join(self._running.values()))
