"""Training on the samples that a selection method chooses.

Four ways to choose, by when the scores are made and how the chosen samples are batched:

- ``batch``: inside each mini-batch, from a forward pass without gradient in training mode; the chosen part of
  the batch then goes forward again, with gradient. As in the authors' code of Progressive Data Dropout.
- ``rebatch``: the same, but chosen samples wait until they fill a whole batch.
- ``epoch``: from a forward pass over all samples in evaluation mode at the start of each epoch. As in the
  text of ERTS.
- ``stale``: from the scores that each sample had when it was last trained on, which cost nothing; every few
  epochs all samples are scored again, so that dropped ones can come back. Before it has any score a sample
  counts as unknown to the network and is trained on.

The last epochs are a revision: all samples train.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, is_dataclass
from math import log
from pathlib import Path
from typing import Any

import torch

from ecgkit.models.heads import Classifier
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import (
    Learner,
    OnEpoch,
    Training,
    Watcher,
    require_alike,
    run_epochs,
    training_checkpoint,
)
from ecgkit.training.selection.accounting import Accounting
from ecgkit.training.selection.methods import Selector
from ecgkit.training.selection.steps import Decision, ScoreTable, SelectionConfig, SelectionSteps
from ecgkit.training.supervised import require_shares

__all__ = ["SelectedTraining", "train_with_selection"]


@dataclass
class SelectedTraining(Training):
    """What a training with selection leaves behind, beside the weights in the model itself.

    Each entry of the curve has the counts of its epoch.
    """

    seconds: dict[str, float] = field(
        default_factory=lambda: {"select": 0.0, "grad_cam": 0.0, "train": 0.0, "validate": 0.0}
    )
    count: Accounting = field(default_factory=Accounting)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "count": asdict(self.count)}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "count"})
        vars(self.count).update(state_dict["count"])


def train_with_selection(
    model: Classifier,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    config: SelectionConfig,
    selector: Selector,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_select: Callable[[Decision], None] | None = None,
    watcher: Watcher | None = None,
) -> SelectedTraining:
    """Train `model` in place on the samples that `selector` chooses; the weights of the last epoch stay.

    Args:
        model: A `Classifier`, on the device of the data.
        train: Training records; for single labels, with exactly one 1 in each row of the labels.
        validation: Validation records. They are never trained on.
        scaler: From `fit_scaler` on the training records.
        config: How to train.
        selector: From `ecgkit.training.selection.create`.
        seed: Decides order, windows, dropout and random selection. The caller's global random state is left
            as it was.
        checkpoint: As for `ecgkit.training.train_classifier`.
        on_epoch: Called after every epoch with its entry of the learning curve.
        on_select: Called with every decision of the method, to look at which samples go.
        watcher: Looks at the network after every epoch; what it saw is part of the checkpoint.

    Raises:
        FloatingPointError: If the loss is no longer finite, or explodes.
        ValueError: If the network, the labels and the settings do not fit, or no sample was trained on.
        StoreError: If the checkpoint cannot be written or read.

    Source:
        Progressive Data Dropout (Shriram et al., 2025) and ERTS (Dangeti et al., 2026), section 3.4.
    """
    if not isinstance(model, Classifier):
        raise ValueError(f"{type(model).__name__} has no body and head; see ecgkit.models.heads.Classifier")
    require_alike(train, validation)
    require_shares(train.labels)
    single = config.labels == "single"
    one_hot = ((train.labels == 1).sum(dim=1) == 1) & ((train.labels != 0).sum(dim=1) == 1)
    if single and not bool(one_hot.all()):
        raise ValueError("each record needs exactly one label: choose one, or set labels='multi'")
    classes = train.labels.shape[1]
    if single and classes < 2:
        raise ValueError("one label per record needs at least two classes; set labels='multi'")
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    done, table = SelectedTraining(), ScoreTable(len(train), train.device)
    learner = Learner(
        model, train, scaler, optimizer, config.batch_size, config.window_s, config.bf16, done=done
    )
    steps = SelectionSteps(learner, config, selector, table, done.count, on_select)
    # a method without a `repr` of its own would show its address, another one in every process
    method = repr(selector) if is_dataclass(selector) else f"{type(selector).__qualname__} {vars(selector)}"

    def validate() -> dict[str, float]:
        from ecgkit.evaluation import macro_auc, single_label_f1

        truth, scores = validation.labels.cpu().numpy(), config.predict(model, validation, scaler)
        found = {"validation_macro_auc": macro_auc(truth, scores)}
        return found | ({"validation_single_label_f1": single_label_f1(truth, scores)} if single else {})

    run_epochs(
        learner,
        steps.one_epoch,
        validate,
        config.epochs,
        seed,
        validate_every=config.validate_every,
        knows_nothing=log(classes) if single else log(2),
        remedy=f"lower the learning rate, lr ({config.lr})",
        checkpoint=training_checkpoint(
            checkpoint, model, train, validation, scaler, seed, ("train_with_selection", config, method)
        ),
        parts={"table": table},
        watcher=watcher,
        on_epoch=on_epoch,
    )
    return done
