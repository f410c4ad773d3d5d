"""Fine-tuning in two phases: first the head alone, then the whole network, its first layers with care."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgkit.models.heads import Classifier
from ecgkit.training.data import DeviceData, Scaler
from ecgkit.training.loop import TrainConfig, Training, epoch_seed, train_classifier

__all__ = ["FrozenBody", "TwoPhases", "discriminative_groups", "fine_tune"]


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


def fine_tune(
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
        FloatingPointError: If the loss is no longer finite.
        StoreError: If a checkpoint cannot be written or read.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), section III-B and Appendix I, for the new last layer,
        "gradual unfreezing" and discriminative learning rates. The two phases, of 30 epochs each, and the
        rates are from the authors' published code.
    """
    first, second = (
        None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}-{phase}.pt")
        for phase in ("frozen", "unfrozen")
    )
    head_only = Classifier(FrozenBody(model.body), model.head)
    groups = [{"params": list(model.head.parameters()), "lr": config.max_lr}]
    frozen = train_classifier(head_only, train, validation, scaler, config, seed, first, groups=groups)
    groups = discriminative_groups(model, config.max_lr / 1000, config.max_lr / 10)
    unfrozen = train_classifier(
        model, train, validation, scaler, config, epoch_seed(seed, 0), second, groups=groups
    )
    return TwoPhases(frozen, unfrozen)
