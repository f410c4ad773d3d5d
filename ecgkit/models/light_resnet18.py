"""A ResNet-18 for signals with channel attention and age and sex as side input, in eighteen designs.

Each of E1 to E18 is the same network built from another `Design`; `DESIGNS` says in a line how it differs
from the baseline E1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgkit.models.blocks import conv, conv_bn, he_initial
from ecgkit.models.heads import AveragePool, Classifier, check_sizes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DESIGNS", "Design", "LightResNet18", "metadata_features"]

KERNEL = 7  # of every convolution in a block
REDUCTION = 16  # channels per unit inside squeeze-and-excitation
DROPOUT = 0.2  # the thesis says where dropout stands, not how much
MEAN_AGE, AGE_SCALE = 60.0, 20.0  # years


@dataclass(frozen=True)
class Design:
    """What can be changed in the network; the defaults are the baseline, E1.

    Raises:
        ValueError: If there are not four widths and counts, one of the numbers is not a whole number of 1 or
            more, a width is below 16 with `se`, or a switch is neither True nor False.
    """

    widths: tuple[int, int, int, int] = (64, 128, 256, 512)  # channels of the four stages
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)  # residual blocks in each stage
    stem_kernel: int = 15  # of the first convolution; its padding is 7 all the same
    metadata_units: int = 10  # outputs of the linear layer for age and sex
    se: bool = True  # squeeze-and-excitation at the end of a block
    bn1: bool = True  # batch normalisation after the first convolution of a block
    bn2: bool = True  # ... and after the second
    conv2: bool = True  # the second convolution of a block
    separable: bool = False  # convolutions in blocks: first along time, then across channels

    def __post_init__(self) -> None:
        for name in ("widths", "blocks"):
            counts = getattr(self, name)
            if not isinstance(counts, Sequence) or isinstance(counts, str) or len(counts) != 4:
                raise ValueError(f"{name} are {counts!r}; give four, one for each stage")
            check_sizes(4096, **{f"{name}[{stage}]": count for stage, count in enumerate(counts)})
        check_sizes(4096, stem_kernel=self.stem_kernel, metadata_units=self.metadata_units)
        for name in ("se", "bn1", "bn2", "conv2", "separable"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose True or False")
        if self.se and min(self.widths) < REDUCTION:
            raise ValueError(
                f"widths {self.widths}: squeeze-and-excitation needs {REDUCTION} channels; else set se=False"
            )


_E7: dict[str, Any] = {"se": False, "bn2": False, "conv2": False}
_HALF: dict[str, Any] = {"widths": (32, 64, 128, 256)}
_QUARTER: dict[str, Any] = {"widths": (16, 32, 64, 128)}

DESIGNS: dict[str, Design] = {
    "E1": Design(),
    "E2": Design(se=False),
    "E3": Design(bn1=False),
    "E4": Design(bn2=False),
    "E5": Design(conv2=False),
    "E6": Design(bn2=False, conv2=False),
    "E7": Design(**_E7),
    "E8": Design(blocks=(1, 1, 2, 2)),
    "E9": Design(blocks=(1, 1, 1, 1)),
    "E10": Design(blocks=(2, 2, 3, 3)),
    "E11": Design(stem_kernel=7),
    "E12": Design(separable=True),
    "E13": Design(**_HALF),
    "E14": Design(metadata_units=5),
    "E15": Design(**_E7, separable=True),
    "E16": Design(**_E7, separable=True, **_HALF),
    "E17": Design(**_QUARTER),
    "E18": Design(**_E7, separable=True, **_QUARTER),
}


class SqueezeExcite(nn.Module):
    """Weight each channel by a small network, without biases, of all channels' averages: (B, C, T) -> same.

    Source:
        Hu et al., "Squeeze-and-excitation networks" (2018).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // REDUCTION, bias=False)
        self.excite = nn.Linear(channels // REDUCTION, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.excite(self.squeeze(x.mean(dim=2)).relu()).sigmoid()  # (B, C)
        return x * weight.unsqueeze(2)


def _convolution(channels: int, width: int, stride: int, separable: bool) -> nn.Module:
    """One convolution along time, or two: each channel by itself, then all channels at each moment."""
    if not separable:
        return conv(channels, width, KERNEL, stride)
    return nn.Sequential(conv(channels, channels, KERNEL, stride, groups=channels), conv(channels, width, 1))


class Block(nn.Module):
    """Two convolutions with what stands between and behind them, added to the block's input."""

    def __init__(self, channels: int, width: int, stride: int, design: Design) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, width, stride, design.separable)
        self.bn1 = nn.BatchNorm1d(width) if design.bn1 else None
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(DROPOUT)
        self.conv2 = _convolution(width, width, 1, design.separable) if design.conv2 else None
        self.bn2 = nn.BatchNorm1d(width) if design.bn2 else None
        self.se = SqueezeExcite(width) if design.se else None
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(*conv_bn(channels, width, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        if self.bn1 is not None:
            y = self.bn1(y)
        y = self.dropout(self.relu(y))
        for part in (self.conv2, self.bn2, self.se):
            if part is not None:
                y = part(y)
        return self.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class MetadataHead(nn.Module):
    """Average over time beside a linear function of age and sex: (B, C, T) and (B, 3) -> (B, classes)."""

    def __init__(self, channels: int, units: int, classes: int) -> None:
        super().__init__()
        self.pool = AveragePool()
        self.metadata = nn.Linear(3, units)
        self.classify = nn.Linear(channels + units, classes)

    def forward(self, features: Tensor, metadata: Tensor | None = None) -> Tensor:
        if metadata is None:
            metadata = features.new_zeros(features.shape[0], 3)
        if metadata.dtype != features.dtype:
            metadata = metadata.to(features.dtype)
        return self.classify(torch.cat([self.pool(features), self.metadata(metadata)], dim=1))


class LightResNet18(Classifier):
    """A stem of 64 channels, four stages of residual blocks, and a head that also reads age and sex.

    Args:
        leads: Number of input leads.
        classes: Number of logits.
        design: What to build, for example ``DESIGNS["E12"]``.

    Called with signals (B, leads, T) and, optionally, the metadata (B, 3) that `metadata_features` makes, the
    network returns logits (B, classes). Without metadata, nothing is known of any patient: zeros.

    Without the second convolution (E5 to E7) the second batch normalisation and squeeze-and-excitation, as
    far as they are there, follow the first ReLU and dropout. The thesis does not show this; the sizes agree
    with it, as they would with any other order.

    Source:
        Lightweight ResNet-18 (Ahmed, 2025), sections 3.4 and 3.6 and appendix A.

    >>> network = LightResNet18(leads=12, classes=26, design=DESIGNS["E17"])
    >>> network(torch.zeros(2, 12, 500), torch.zeros(2, 3)).shape
    torch.Size([2, 26])
    """

    def __init__(self, leads: int, classes: int, design: Design) -> None:
        check_sizes(leads=leads, classes=classes)
        channels = 64
        body = nn.Sequential()
        stem = nn.Conv1d(leads, channels, design.stem_kernel, stride=2, padding=7, bias=False)
        pool = nn.MaxPool1d(3, stride=2, padding=1)
        body.add_module("stem", nn.Sequential(stem, nn.BatchNorm1d(channels), nn.ReLU(), pool))
        for stage, (width, count) in enumerate(zip(design.widths, design.blocks, strict=True)):
            blocks = nn.Sequential()
            for block in range(count):
                blocks.append(Block(channels, width, 2 if stage and not block else 1, design))
                channels = width
            body.add_module(f"stage{stage + 1}", blocks)
        he_initial(body, "fan_out")
        super().__init__(body, MetadataHead(channels, design.metadata_units, classes))

    def forward(self, x: Tensor, metadata: Tensor | None = None) -> Tensor:
        self._check(x)
        if metadata is not None and metadata.shape != (x.shape[0], 3):
            shape = tuple(metadata.shape)
            raise ValueError(
                f"metadata has the shape {shape}; three numbers for each of {x.shape[0]} records"
            )
        return self.head(self.body(x), metadata)


def metadata_features(meta: "pd.DataFrame") -> Tensor:
    """Age and sex as three numbers: (age in years - 60) / 20, female, male.

    An unknown sex is neither: 0 and 0. An unknown age is 0, the age of 60 years that is about the mean of
    PTB-XL's patients: three numbers leave no room for a flag, and as the network is linear in the age, any
    other code would count as some extreme age. PTB-XL hides ages above 89: these patients count as unknown,
    so as 60, although for them an extreme age would be the truth. A patient of whom nothing is known is
    therefore all zeros, which is what the network takes when it gets no metadata. The thesis does not say
    what it did.

    Args:
        meta: Columns age (years, missing where unknown) and sex ("female", "male" or anything else), for
            example the ``meta`` of a data set. N rows.

    Returns:
        Shape (N, 3), float32.

    Raises:
        ValueError: If a column is missing, or an age is no finite number.

    >>> import pandas as pd
    >>> metadata_features(pd.DataFrame({"age": [80.0, None], "sex": ["female", "unknown"]})).tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    import pandas as pd

    if absent := [name for name in ("age", "sex") if name not in meta]:
        raise ValueError(f"the metadata have no column {absent[0]!r}; columns age and sex are wanted")
    try:
        age = pd.to_numeric(meta["age"]).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"an age is no number of years: {error}") from error
    if np.isinf(age).any():
        raise ValueError("an age is infinite; where it is unknown, leave it missing")
    sex = meta["sex"].astype(object)
    columns = [np.nan_to_num((age - MEAN_AGE) / AGE_SCALE), sex.eq("female"), sex.eq("male")]
    return torch.from_numpy(np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1))
