"""The steps of an epoch in which a selection method chooses."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ecgkit.models.heads import Classifier, evaluating
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import Learner, batches
from ecgkit.training.predict import predict
from ecgkit.training.selection.accounting import Accounting
from ecgkit.training.selection.methods import Scores, Selector
from ecgkit.training.selection.reliability import History, LabelKind, SampleStatistics, sample_statistics
from ecgkit.training.selection.sample_scores import Judged
from ecgkit.training.settings import check_settings

__all__ = ["Decision", "ScoreTable", "SelectionConfig", "SelectionSteps"]

_LEAST = 2  # samples of an update: batch normalisation needs two


@dataclass(frozen=True)
class SelectionConfig:
    """How to train with selection. Optimiser and schedule are those of the authors' code: AdamW.

    Raises:
        ValueError: If a value is of another type than its default, or out of range.
    """

    epochs: int = 100
    revision_epochs: int = 1  # the last epochs, on everything
    batch_size: int = 64
    window_s: float = 10.0  # length of training and evaluation windows; 10 s: whole records
    lr: float = 3e-4
    lr_decay: float = 0.98  # factor of the learning rate from epoch to epoch
    weight_decay: float = 1e-2
    labels: LabelKind = "single"  # one label per record, or any number
    granularity: Literal["batch", "rebatch", "epoch", "stale"] = "batch"
    rescore_every: int = 5  # "stale": epochs from one scoring of all samples to the next
    bf16: bool = False  # forward pass in bfloat16 where that is safe
    validate_every: int = 1  # epochs between looks at the validation fold

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch_size": 2, "validate_every": 1, "rescore_every": 1, "revision_epochs": 0}
        check_settings(self, {**least, "weight_decay": 0}, above={"window_s": 0, "lr": 0, "lr_decay": 0})
        if self.revision_epochs > self.epochs:
            raise ValueError(f"revision_epochs is {self.revision_epochs}; choose 0 to {self.epochs}")

    def predict(self, model: nn.Module, data: DeviceData, scaler: Scaler) -> Any:
        """Probabilities for every record, shape (N, K): softmax and mean over windows for single labels."""
        if self.labels == "single":
            return predict(model, data, scaler, self.window_s, "mean", self.bf16, activation="softmax")
        return predict(model, data, scaler, self.window_s, "max", self.bf16)


@dataclass(frozen=True)
class Decision:
    """One decision of a selection method, about n samples.

    Attributes:
        epoch: Number of the epoch, from 1.
        rows: Their rows in the training set, shape (n,).
        confidence: Probability of the truth, shape (n,); empty where the method did not ask.
        candidates: Chosen by the base method, bool, shape (n,).
        kept: Chosen in the end, bool, shape (n,).
        score: The filter's score of the candidates, in their order, which is the focus in ERTS; empty where
            the method did not ask.
    """

    epoch: int
    rows: Tensor
    confidence: Tensor
    candidates: Tensor
    kept: Tensor
    score: Tensor


class ScoreTable:
    """What was said last of every training sample, its score, and its history, all of shape (N,).

    A sample of which nothing is known is never easy, never certain, and always to be trusted.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        def all_of(value: float) -> Tensor:
            return torch.full((size,), value, dtype=torch.float32, device=device)

        never = torch.zeros(size, dtype=torch.bool, device=device)
        self.last = SampleStatistics(all_of(0), all_of(torch.inf), never, all_of(-torch.inf), all_of(0))
        self.score = all_of(torch.inf)
        self.history = History.empty(size, device)

    def enter(self, rows: Tensor, said: SampleStatistics) -> None:
        """Enter what was said of some samples, no sample twice."""
        self.history.add(rows, said)
        for known, values in zip(self.last, said, strict=True):
            known[rows] = values.detach()

    def __getitem__(self, rows: Tensor) -> SampleStatistics:
        return SampleStatistics(*(values[rows] for values in self.last))

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last._asdict(), "score": self.score, "history": vars(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.last, self.score = SampleStatistics(**state_dict["last"]), state_dict["score"]
        self.history = History(**state_dict["history"])


class ForwardPass(NamedTuple):
    """What a forward pass says of n samples."""

    features: Tensor  # output of the body
    probabilities: Tensor  # (n, K), float32
    said: SampleStatistics


@dataclass
class SelectionSteps:
    """A selection method at work: `one_epoch` does the steps of an epoch for the training loop.

    Attributes:
        learner: The network, its data and its optimiser.
        config: How to train.
        selector: Which samples train.
        table: What is known of every sample.
        count: What became of the samples so far.
        on_select: Called with every decision.
    """

    learner: Learner
    config: SelectionConfig
    selector: Selector
    table: ScoreTable
    count: Accounting
    on_select: Callable[[Decision], None] | None = None
    epoch: int = field(default=0, init=False)

    @property
    def model(self) -> Classifier:
        assert isinstance(self.learner.model, Classifier)
        return self.learner.model

    def one_epoch(self, epoch: int) -> dict[str, float]:
        """Train on what the method chooses, in the last epochs on everything.

        Returns:
            ``train_loss``, the mean over the samples trained on if there are any, and the epoch's counts.
        """
        self.epoch, before, config = epoch, asdict(self.count), self.config
        for group in self.learner.optimizer.param_groups:
            group["lr"] = config.lr * config.lr_decay ** (epoch - 1)
        order = self.learner.shuffled()
        if epoch > config.epochs - config.revision_epochs:
            total = self._revise(order)
        elif config.granularity in ("batch", "rebatch"):
            total = self._select_in_batches(order)
        else:
            total = self._select_from_table()
        counts = {name: float(value - before[name]) for name, value in asdict(self.count).items()}
        mean = {"train_loss": float(total) / counts["backprop"]} if counts["backprop"] else {}
        return {**mean, **counts}

    # Who trains ---------------------------------------------------------------------------------------

    def _revise(self, order: Tensor) -> Tensor:
        total = torch.zeros((), device=order.device)
        for rows in batches(order, self.config.batch_size):
            self.count.offered += len(rows)
            total += self._update(rows, self.learner.windows(rows))
        return total

    def _select_in_batches(self, order: Tensor) -> Tensor:
        size, total = self.config.batch_size, torch.zeros((), device=order.device)
        waiting_rows, waiting_x = order[:0], torch.empty(0, device=order.device)
        for rows in batches(order, size):
            x = self.learner.windows(rows)
            kept = self._choose_in_batch(rows, x)
            rows, x = rows[kept], x[kept]
            if self.config.granularity == "batch":
                total += self._update(rows, x)
                continue
            waiting_x = torch.cat([waiting_x, x]) if len(waiting_rows) else x
            waiting_rows = torch.cat([waiting_rows, rows])
            if len(waiting_rows) >= size:
                total += self._update(waiting_rows[:size], waiting_x[:size])
                waiting_rows, waiting_x = waiting_rows[size:], waiting_x[size:]
        return total + self._update(waiting_rows, waiting_x)

    def _choose_in_batch(self, rows: Tensor, x: Tensor) -> Tensor:
        known = self._look(rows, x) if self.selector.needs_scores else None

        def score(candidates: Tensor) -> Tensor:
            if not candidates.any():
                return x.new_zeros(0)
            chosen = rows[candidates], x[candidates]
            if known is not None:
                return self._score(*chosen, known.features[candidates], known.probabilities[candidates])
            if len(chosen[0]) >= _LEAST:
                told = self._look(*chosen)
            else:
                with evaluating(self.model):
                    told = self._look(*chosen)
            return self._score(*chosen, told.features, told.probabilities)

        return self._decide(rows, None if known is None else known.said, score)

    def _select_from_table(self) -> Tensor:
        everything = torch.arange(len(self.learner.data), device=self.learner.data.device)
        per_epoch, method = self.config.granularity == "epoch", self.selector
        if per_epoch:
            due = method.needs_scores
        else:
            due = self.epoch > 1 and (self.epoch - 1) % self.config.rescore_every == 0
            due = due and (method.needs_scores or method.score is not None)
        if due:
            self._rescore(everything)

        def score(candidates: Tensor) -> Tensor:
            if per_epoch and not due:  # the method asks for nothing but the score of its candidates
                self._rescore(everything[candidates])
            return self.table.score[candidates]

        said = self.table[everything] if method.needs_scores else None
        rows = everything[self._decide(everything, said, score)]
        rows = rows[torch.randperm(len(rows), generator=self.learner.generator).to(rows.device)]
        total = torch.zeros((), device=rows.device)
        for part in rows.split(self.config.batch_size):
            total += self._update(part, self.learner.windows(part))
        return total

    def _rescore(self, rows: Tensor) -> None:
        """New statistics, and scores where they are needed, in evaluation mode.

        The score of samples that will not be candidates is computed, too: that is cheaper than a second
        forward pass over those that will.
        """
        with evaluating(self.model):
            for part in rows.split(self.config.batch_size):
                x = self.learner.windows(part)
                told = self._look(part, x)
                if self.selector.score is not None:
                    self.table.score[part] = self._score(part, x, told.features, told.probabilities)

    def _decide(
        self, rows: Tensor, said: SampleStatistics | None, score: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The method's choice, counted and reported."""
        looked: list[tuple[Tensor, Tensor]] = []

        def look(candidates: Tensor) -> Tensor:
            looked.append((candidates, score(candidates)))
            return looked[-1][1]

        given = {} if said is None else said._asdict()
        given.pop("margin", None)
        scores = Scores(len(rows), self.epoch, self.learner.generator, rows.device, **given, score=look)
        kept = self.selector(scores)
        candidates, values = looked[0] if looked else (kept, rows.new_zeros(0, dtype=torch.float32))
        self.count.offered += len(rows)
        self.count.dropped += int((~candidates).sum())
        self.count.filtered += int((candidates & ~kept).sum())
        if self.on_select is not None:
            confidence = values[:0] if said is None else said.confidence
            self.on_select(Decision(self.epoch, rows, confidence, candidates, kept, values))
        return kept

    # Forward passes and the update ----------------------------------------------------------------------

    def _forward(self, rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor, SampleStatistics]:
        """Features of the body, logits, float32, and what they say of the samples."""
        data = self.learner.data
        with torch.autocast(data.device.type, torch.bfloat16, enabled=self.config.bf16):
            features = self.model.body(x)
            logits = self.model.head(features).float()
        return features, logits, sample_statistics(logits, data.labels[rows], self.config.labels)

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1) if self.config.labels == "single" else logits.sigmoid()

    def _look(self, rows: Tensor, x: Tensor) -> ForwardPass:
        """A forward pass for selection alone, in the model's present mode; what it says enters the table.

        Raises:
            FloatingPointError: If the network says NaN or infinity, of which no method can choose.
        """
        with self.learner.timed("select"), torch.no_grad():
            features, logits, said = self._forward(rows, x)
            if not bool(logits.isfinite().all()):
                raise FloatingPointError(
                    f"the network's output is not finite in epoch {self.epoch}: lower the learning rate, "
                    f"lr ({self.config.lr})"
                )
            self.table.enter(rows, said)
        self.count.scored += len(rows)
        return ForwardPass(features, self._probabilities(logits), said)

    def _score(self, rows: Tensor, x: Tensor, features: Tensor, probabilities: Tensor) -> Tensor:
        """The selector's score of n samples, (n,)."""
        score = self.selector.score
        assert score is not None
        self.count.maps += score.draws_maps * len(rows)
        self.count.scored += score.passes * len(rows)
        with self.learner.timed("grad_cam"):
            labels, history = self.learner.data.labels[rows], self.table.history[rows]
            return score(Judged(self.model, x, labels, features, probabilities, history))

    def _update(self, rows: Tensor, x: Tensor) -> Tensor:
        """One optimiser step; returns the sum of the losses. Too few samples make none."""
        if len(rows) < _LEAST:
            self.count.skipped += len(rows)
            return torch.zeros((), device=rows.device)
        with self.learner.timed("train"):
            features, logits, said = self._forward(rows, x)
            self.learner.update(said.loss.mean(), len(rows))
        self.count.backprop += len(rows)
        self.count.updates += 1
        if self.config.granularity == "stale":
            self.table.enter(rows, said)
            if self.selector.score is not None:
                probabilities = self._probabilities(logits).detach()
                self.table.score[rows] = self._score(rows, x, features.detach(), probabilities)
        return said.loss.detach().sum()
