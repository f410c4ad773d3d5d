"""One epoch of training with selection."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecgkit.models.heads import Classifier
from ecgkit.signals.windows import random_windows
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import batches
from ecgkit.training.predict import window_samples
from ecgkit.training.selection.accounting import Accounting
from ecgkit.training.selection.confidence import LabelKind, SampleScores, sample_scores
from ecgkit.training.selection.selector import Scores, Selector
from ecgkit.training.selection.trust import History, Judged

__all__ = ["Decision", "EpochWork", "ScoreTable", "train_epoch"]

_LEAST = 2  # samples of an update: batch normalisation needs two


@dataclass(frozen=True)
class Decision:
    """One decision of a selection method, about n samples.

    Attributes:
        epoch: Number of the epoch, from 1.
        rows: Their rows in the training set, shape (n,).
        confidence: Probability of the truth, shape (n,); empty where the method did not ask.
        candidates: Chosen by the base method, bool, shape (n,).
        kept: Chosen in the end, bool, shape (n,).
        trust: The filter's score of the candidates, in their order, which is the focus in ERTS; empty where
            the method did not ask.
    """

    epoch: int
    rows: Tensor
    confidence: Tensor
    candidates: Tensor
    kept: Tensor
    trust: Tensor


class ForwardPass(NamedTuple):
    """What a forward pass for selection alone says of n samples."""

    features: Tensor  # output of the body
    probabilities: Tensor  # (n, K), float32
    scores: SampleScores


@dataclass
class ScoreTable:
    """The last known scores of every training sample and their history, each of shape (N,)."""

    confidence: Tensor
    loss: Tensor
    correct: Tensor
    margin: Tensor
    certainty: Tensor
    trust: Tensor
    seen: Tensor
    confidence_sum: Tensor
    margin_sum: Tensor
    forgotten: Tensor
    learnt: Tensor

    @classmethod
    def unseen(cls, size: int, device: torch.device) -> "ScoreTable":
        """Samples of which nothing is known: never easy, never certain, always to be trusted."""

        def all_of(value: float) -> Tensor:
            return torch.full((size,), value, dtype=torch.float32, device=device)

        never = torch.zeros(size, dtype=torch.bool, device=device)
        return cls(
            confidence=all_of(0),
            loss=all_of(torch.inf),
            correct=never.clone(),
            margin=all_of(-torch.inf),
            certainty=all_of(0),
            trust=all_of(torch.inf),
            seen=all_of(0),
            confidence_sum=all_of(0),
            margin_sum=all_of(0),
            forgotten=all_of(0),
            learnt=never,
        )

    def set(self, rows: Tensor, scores: SampleScores) -> None:
        """Enter the scores of some samples, no sample twice, and bring their history forward."""
        self.forgotten[rows] += (self.correct[rows] & ~scores.correct).float()
        self.learnt[rows] |= scores.correct
        self.seen[rows] += 1
        self.confidence_sum[rows] += scores.confidence.detach()
        self.margin_sum[rows] += scores.margin.detach()
        for name, values in scores._asdict().items():
            getattr(self, name)[rows] = values.detach()

    def __getitem__(self, rows: Tensor) -> SampleScores:
        return SampleScores(*(getattr(self, name)[rows] for name in SampleScores._fields))

    def history(self, rows: Tensor) -> History:
        return History(
            self.seen[rows],
            self.confidence_sum[rows],
            self.margin_sum[rows],
            self.forgotten[rows],
            self.learnt[rows],
        )


@dataclass
class EpochWork:
    """Everything an epoch works with. `count`, `seconds` and `table` are brought forward by it."""

    model: Classifier
    data: DeviceData
    scaler: Scaler
    selector: Selector
    optimizer: torch.optim.Optimizer
    labels: LabelKind
    granularity: str
    batch_size: int
    window_s: float
    rescore_every: int
    bf16: bool
    count: Accounting
    seconds: dict[str, float]
    table: ScoreTable
    on_select: Callable[[Decision], None] | None
    generator: torch.Generator = field(default_factory=torch.Generator)  # a new one in every epoch
    epoch: int = 0

    def windows(self, rows: Tensor) -> Tensor:
        """Standardised windows of some records, (n, leads, window)."""
        data = self.data
        lengths = None if data.lengths is None else data.lengths[rows]
        window = window_samples(self.window_s, data)
        cut = random_windows(data.signals[rows], window, self.generator, lengths)
        return self.scaler(cut, data.mv_per_unit)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the body and logits, float32."""
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.model.body(x)
            return features, self.model.head(features).float()

    def score(self, rows: Tensor, x: Tensor) -> ForwardPass:
        """A forward pass for selection alone, in the model's present mode; its scores enter the table."""
        with self.timed("select"), torch.no_grad():
            features, logits = self.forward(x)
            scores = sample_scores(logits, self.data.labels[rows], self.labels)
            probabilities = logits.softmax(dim=1) if self.labels == "single" else logits.sigmoid()
            self.table.set(rows, scores)
        self.count.scored += len(rows)
        return ForwardPass(features, probabilities, scores)

    def trust(self, rows: Tensor, x: Tensor, features: Tensor, probabilities: Tensor) -> Tensor:
        """The selector's score of trust, (n,)."""
        trust = self.selector.trust
        assert trust is not None
        self.count.maps += trust.draws_maps * len(rows)
        self.count.scored += trust.passes * len(rows)
        with self.timed("grad_cam"):
            history = self.table.history(rows)
            labels = self.data.labels[rows]
            return trust(Judged(self.model, x, labels, features, probabilities, history))

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time inside to a phase; a GPU is waited for at both ends."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[phase] += time.perf_counter() - start

    def _wait(self) -> None:
        if self.data.device.type == "cuda":
            torch.cuda.synchronize(self.data.device)


def train_epoch(work: EpochWork, epoch: int, seed: int, revision: bool) -> float | None:
    """One epoch, on everything if it is a revision.

    Returns:
        The mean loss over the samples trained on; None if there were none.

    Raises:
        FloatingPointError: If the loss is no longer finite.
    """
    work.model.train()
    torch.manual_seed(seed)  # dropout
    work.generator, work.epoch = torch.Generator().manual_seed(seed), epoch  # order, windows, selection
    before = work.count.backprop
    order = torch.randperm(len(work.data), generator=work.generator).to(work.data.device)
    if revision:
        total = _revise(work, order)
    elif work.granularity in ("batch", "rebatch"):
        total = _select_in_batches(work, order)
    else:
        total = _select_from_table(work)
    trained = work.count.backprop - before
    mean = float(total) / max(trained, 1)
    if not np.isfinite(mean):
        raise FloatingPointError(f"the training loss of epoch {epoch} is {mean}: lower the learning rate")
    return mean if trained else None


def _revise(work: EpochWork, order: Tensor) -> Tensor:
    total = torch.zeros((), device=order.device)
    for rows in batches(order, work.batch_size):
        work.count.offered += len(rows)
        total += _update(work, rows, work.windows(rows))
    return total


def _select_in_batches(work: EpochWork, order: Tensor) -> Tensor:
    total = torch.zeros((), device=order.device)
    waiting_rows, waiting_x = order[:0], torch.empty(0, device=order.device)
    for rows in batches(order, work.batch_size):
        x = work.windows(rows)
        kept = _choose_in_batch(work, rows, x)
        rows, x = rows[kept], x[kept]
        if work.granularity == "batch":
            total += _update(work, rows, x)
            continue
        waiting_x = torch.cat([waiting_x, x]) if len(waiting_rows) else x
        waiting_rows = torch.cat([waiting_rows, rows])
        if len(waiting_rows) >= work.batch_size:
            total += _update(work, waiting_rows[: work.batch_size], waiting_x[: work.batch_size])
            waiting_rows, waiting_x = waiting_rows[work.batch_size :], waiting_x[work.batch_size :]
    return total + _update(work, waiting_rows, waiting_x)


def _choose_in_batch(work: EpochWork, rows: Tensor, x: Tensor) -> Tensor:
    done = work.score(rows, x) if work.selector.needs_scores else None

    def trust(candidates: Tensor) -> Tensor:
        if not candidates.any():
            return x.new_zeros(0)
        if done is None:
            found = work.score(rows[candidates], x[candidates])
            return work.trust(rows[candidates], x[candidates], found.features, found.probabilities)
        features, probabilities = done.features[candidates], done.probabilities[candidates]
        return work.trust(rows[candidates], x[candidates], features, probabilities)

    return _decide(work, rows, None if done is None else done.scores, trust)


def _select_from_table(work: EpochWork) -> Tensor:
    everything = torch.arange(len(work.data), device=work.data.device)
    per_epoch, method = work.granularity == "epoch", work.selector
    if per_epoch:
        due = method.needs_scores
    else:
        due = work.epoch > 1 and (work.epoch - 1) % work.rescore_every == 0
        due = due and (method.needs_scores or method.trust is not None)
    if due:
        _rescore(work, everything)

    def trust(candidates: Tensor) -> Tensor:
        if per_epoch and not due:  # the method asks for nothing but the trust of its candidates
            _rescore(work, everything[candidates])
        return work.table.trust[candidates]

    scores = work.table[everything] if method.needs_scores else None
    rows = everything[_decide(work, everything, scores, trust)]
    rows = rows[torch.randperm(len(rows), generator=work.generator).to(rows.device)]
    total = torch.zeros((), device=rows.device)
    for part in rows.split(work.batch_size):
        total += _update(work, part, work.windows(part))
    return total


def _rescore(work: EpochWork, rows: Tensor) -> None:
    """New scores, and trust where it is needed, in evaluation mode.

    The trust of samples that will not be candidates is computed, too: that is cheaper than a second forward
    pass over those that will.
    """
    work.model.eval()
    for part in rows.split(work.batch_size):
        x = work.windows(part)
        found = work.score(part, x)
        if work.selector.trust is not None:
            work.table.trust[part] = work.trust(part, x, found.features, found.probabilities)
    work.model.train()


def _decide(
    work: EpochWork, rows: Tensor, scores: SampleScores | None, trust: Callable[[Tensor], Tensor]
) -> Tensor:
    """The method's choice, counted and reported."""
    looked: list[tuple[Tensor, Tensor]] = []

    def look(candidates: Tensor) -> Tensor:
        looked.append((candidates, trust(candidates)))
        return looked[-1][1]

    given = {} if scores is None else scores._asdict()
    given.pop("margin", None)
    kept = work.selector(Scores(len(rows), work.epoch, work.generator, rows.device, **given, trust=look))
    candidates, values = looked[0] if looked else (kept, rows.new_zeros(0, dtype=torch.float32))
    work.count.offered += len(rows)
    work.count.dropped += int((~candidates).sum())
    work.count.filtered += int((candidates & ~kept).sum())
    if work.on_select is not None:
        confidence = values[:0] if scores is None else scores.confidence
        work.on_select(Decision(work.epoch, rows, confidence, candidates, kept, values))
    return kept


def _update(work: EpochWork, rows: Tensor, x: Tensor) -> Tensor:
    """One optimiser step; returns the sum of the losses. Too few samples make none."""
    if len(rows) < _LEAST:
        work.count.skipped += len(rows)
        return torch.zeros((), device=rows.device)
    with work.timed("train"):
        features, logits = work.forward(x)
        scores = sample_scores(logits, work.data.labels[rows], work.labels)
        work.optimizer.zero_grad(set_to_none=True)
        scores.loss.mean().backward()
        work.optimizer.step()
    work.count.backprop += len(rows)
    work.count.updates += 1
    if work.granularity == "stale":
        work.table.set(rows, scores)
        if work.selector.trust is not None:
            probabilities = (logits.softmax(dim=1) if work.labels == "single" else logits.sigmoid()).detach()
            work.table.trust[rows] = work.trust(rows, x, features.detach(), probabilities)
    return scores.loss.detach().sum()
