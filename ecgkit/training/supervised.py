"""Learning from labels: the PTB-XL benchmark's training, and fine-tuning in two phases."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecgkit.models.heads import Classifier
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import (
    Learner,
    OnEpoch,
    Training,
    epoch_seed,
    plain_epoch,
    require_alike,
    run_epochs,
    training_checkpoint,
)
from ecgkit.training.predict import predict
from ecgkit.training.settings import check_settings

__all__ = [
    "FrozenBody",
    "TrainConfig",
    "TwoPhases",
    "discriminative_groups",
    "fine_tune_in_phases",
    "one_cycle",
    "require_shares",
    "steps_of_epoch",
    "train_classifier",
]

_LOSSES: dict[str, Callable[..., Tensor]] = {"bce": F.binary_cross_entropy_with_logits, "mse": F.mse_loss}


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the PTB-XL benchmark's for convolutional networks.

    Raises:
        ValueError: If a value is of another type than its default, or out of range.
    """

    epochs: int = 50
    batch_size: int = 128
    window_s: float = 2.5  # length of training and evaluation windows
    max_lr: float = 1e-2  # peak of the one-cycle schedule
    weight_decay: float = 1e-2
    clip_norm: float | None = None  # largest norm of the gradient; None leaves it alone
    bf16: bool = False  # forward pass in bfloat16 where that is safe
    validate_every: int = 5  # epochs between looks at the validation fold
    patience: int | None = None  # stop after so many looks without a better validation macro AUC

    loss: Literal["bce", "mse"] = "bce"  # binary cross-entropy for labels, squared error for a number
    aggregate: Literal["max", "mean"] = "max"  # of the windows of a record

    def __post_init__(self) -> None:
        check_settings(
            self,
            at_least={"epochs": 1, "batch_size": 2, "validate_every": 1, "patience": 1, "weight_decay": 0},
            above={"window_s": 0, "max_lr": 0, "clip_norm": 0},
        )
        if self.loss == "mse" and self.patience is not None:
            raise ValueError("patience looks at the macro AUC, which a regression (loss 'mse') does not have")


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """Learning rate up to that of the optimizer over the first 30 % of `steps`, then down to almost nothing;
    momentum the other way round. Each parameter group has its own peak.

    Source:
        Smith, "A disciplined approach to neural network hyper-parameters" (2018), with fastai's defaults.
    """
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e4,
    )


def steps_of_epoch(records: int, batch_size: int) -> int:
    """Steps of one pass over the records; a last batch of a single one makes none.

    >>> steps_of_epoch(records=17, batch_size=8), steps_of_epoch(records=18, batch_size=8)
    (2, 3)
    """
    whole, rest = divmod(records, batch_size)
    return whole + (rest > 1 or whole == 0)


def require_shares(labels: Tensor) -> None:
    """Check that labels lie in [0, 1], as cross-entropy takes them.

    Raises:
        ValueError: If one does not.
    """
    if not bool(((labels >= 0) & (labels <= 1)).all()):
        raise ValueError("labels lie outside [0, 1], which cross-entropy needs; for numbers, take loss='mse'")


def train_classifier(
    model: nn.Module,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    groups: Sequence[dict[str, Any]] | None = None,
) -> Training:
    """Train `model` in place.

    Without `patience` the weights of the last epoch stay. With it, training stops after so many looks at the
    validation fold without a better macro AUC, and the best weights come back.

    Args:
        model: (B, leads, T) -> (B, K) logits, on the device of the data.
        train: Training records.
        validation: Validation records. They are never trained on.
        scaler: From `fit_scaler` on the training records.
        config: How to train.
        seed: Decides order, windows and dropout. The caller's global random state is left as it was.
        checkpoint: File to go on from when it is there, and to write after every epoch. It goes on if data,
            settings, seed and the network to begin with are the same; a file of another training, or a
            damaged one, is kept under another name with a warning, and the training begins anew.
        on_epoch: Called after every epoch with its entry of the learning curve.
        groups: Parameters to train, as for torch's optimizers: ``params`` with their peak rate ``lr``. None:
            all of them, at `config.max_lr`.

    Raises:
        FloatingPointError: If the loss is no longer finite, or explodes.
        ValueError: If the two parts or the network do not fit each other, or there is too little to train on.
        StoreError: If the checkpoint cannot be written or read.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I.
    """
    require_alike(train, validation)
    loss_of, knows_nothing = _LOSSES[config.loss], math.log(2)
    if config.loss == "bce":
        require_shares(train.labels)
    else:
        knows_nothing = max(1.0, float(train.labels.square().mean()))
    optimizer = torch.optim.AdamW(
        model.parameters() if groups is None else list(groups),
        lr=config.max_lr,
        betas=(0.95, 0.99),
        weight_decay=config.weight_decay,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    learner = Learner(
        model,
        train,
        scaler,
        optimizer,
        config.batch_size,
        config.window_s,
        config.bf16,
        config.clip_norm,
        one_cycle(optimizer, config.epochs * steps_of_epoch(len(train), config.batch_size)),
    )

    def validate() -> dict[str, float]:
        from ecgkit.evaluation import macro_auc, mae

        truth = validation.labels.cpu().numpy()
        scores = predict(
            model,
            validation,
            scaler,
            config.window_s,
            config.aggregate,
            config.bf16,
            activation="none" if config.loss == "mse" else "sigmoid",
        )
        if config.loss == "mse":
            return {"validation_mae": mae(truth, scores)}
        return {"validation_macro_auc": macro_auc(truth, scores)}

    run_epochs(
        learner,
        lambda epoch: plain_epoch(learner, loss_of),
        validate,
        config.epochs,
        seed,
        validate_every=config.validate_every,
        patience=config.patience,
        knows_nothing=knows_nothing,
        remedy=f"lower max_lr ({config.max_lr}) or clip the gradient (clip_norm)",
        checkpoint=training_checkpoint(
            checkpoint, model, train, validation, scaler, seed, ("train_classifier", config, rates)
        ),
        on_epoch=on_epoch,
    )
    return learner.done


# Fine-tuning in two phases ------------------------------------------------------------------------------


class FrozenBody(nn.Module):
    """A body that does not learn: no gradient, and always in evaluation mode.

    So neither its weights move nor the running statistics of its batch normalisation. (In the PTB-XL
    benchmark's published code the batch normalisation of a frozen body goes on learning.)
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def train(self, mode: bool = True) -> "FrozenBody":
        """Whatever is asked, the body stays in evaluation mode."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.body(x)


def discriminative_groups(model: Classifier, first_lr: float, head_lr: float) -> list[dict[str, Any]]:
    """Parameter groups whose learning rates rise from the first layer to the head in equal ratios.

    Each part of a sequential body that has parameters is a group, and the head is the last one. Any other
    body is one group.

    Args:
        model: The network.
        first_lr: Peak learning rate of the first group.
        head_lr: Peak learning rate of the head.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I, which names discriminative learning rates and
        no more. The two ends are from the authors' published code. The groups are ours: theirs are three for
        `xresnet1d101`, the first convolutions, the blocks and the head.

    >>> from ecgkit import models
    >>> groups = discriminative_groups(models.create("fcn_wang", 12, 5), 1e-5, 1e-3)
    >>> [f"{group['lr']:.1e}" for group in groups]
    ['1.0e-05', '2.2e-05', '4.6e-05', '1.0e-04', '2.2e-04', '4.6e-04', '1.0e-03']
    """
    pieces = list(model.body) if isinstance(model.body, nn.Sequential) else [model.body]
    parameters = [list(piece.parameters()) for piece in (*pieces, model.head)]
    parameters = [group for group in parameters if group]
    rates = np.geomspace(first_lr, head_lr, len(parameters))
    return [{"params": group, "lr": float(lr)} for group, lr in zip(parameters, rates, strict=True)]


@dataclass(frozen=True)
class TwoPhases:
    """What both phases of a fine-tuning left behind."""

    frozen: Training
    unfrozen: Training

    @property
    def samples_backprop(self) -> int:
        """Windows that went through a backward pass; in the first phase it ends at the head."""
        return self.frozen.samples_backprop + self.unfrozen.samples_backprop


def fine_tune_in_phases(
    model: Classifier,
    train: DeviceData,
    validation: DeviceData,
    scaler: Scaler,
    config: TrainConfig,
    seed: int,
    checkpoint: Path | None = None,
) -> TwoPhases:
    """Fine-tune `model` in place: `config.epochs` with the body frozen, then as many for the whole network.

    So unfreezing has two steps; no group of layers is unfrozen on its own. In the first phase the head learns
    at `config.max_lr`, in the second the rates rise from a thousandth of it in the first layers to a tenth in
    the head. Both phases have a one-cycle schedule of their own.

    Args:
        model: A pre-trained network with a new output layer (`ecgkit.transfer.finetune.new_head`).
        train: Target records to learn from.
        validation: Target records for the learning curve.
        scaler: The one that the network was pre-trained with.
        config: How to train; `epochs` counts for each phase.
        seed: Decides order, windows and dropout.
        checkpoint: Beginning of the names of two files, one per phase, to go on from when they are there.

    Raises:
        FloatingPointError, ValueError, StoreError: As `train_classifier`.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-B and Appendix I, for the new last layer,
        "gradual unfreezing" and discriminative learning rates. The two phases, of 30 epochs each, and the
        rates are from the authors' published code.
    """
    first, second = (
        None if checkpoint is None else Path(f"{checkpoint}-{phase}.pt") for phase in ("frozen", "unfrozen")
    )
    head_only = Classifier(FrozenBody(model.body), model.head)
    groups = [{"params": list(model.head.parameters()), "lr": config.max_lr}]
    frozen = train_classifier(head_only, train, validation, scaler, config, seed, first, groups=groups)
    groups = discriminative_groups(model, config.max_lr / 1000, config.max_lr / 10)
    unfrozen = train_classifier(
        model, train, validation, scaler, config, epoch_seed(seed, 0), second, groups=groups
    )
    return TwoPhases(frozen, unfrozen)
