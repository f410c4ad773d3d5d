"""Predictions for whole records, from windows that overlap by half."""

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ecgkit.models.heads import check_sizes, evaluating
from ecgkit.signals.windows import aggregate, evaluation_starts
from ecgkit.training.data import DeviceData, Scaler

__all__ = ["outputs", "predict", "window_samples"]


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: z.softmax(dim=1),
    "none": lambda z: z,
}


def window_samples(window_s: float, data: DeviceData) -> int:
    """Samples of a window of `window_s` seconds, at most the length of the records.

    Raises:
        ValueError: If `window_s` is not above 0.
    """
    if not isinstance(window_s, Real) or not window_s > 0:
        raise ValueError(f"window_s is {window_s!r}; it must be a number above 0")
    samples = min(window_s * data.sampling_rate_hz, data.signals.shape[2])
    return max(1, round(samples))


def outputs(model: nn.Module, x: Tensor, metadata: Tensor | None) -> Tensor:
    """What a network says of windows, and of metadata beside them where there are some.

    Raises:
        ValueError: If there are metadata, and the network takes none.
    """
    if metadata is None:
        return model(x)
    try:
        inspect.signature(model.forward).bind(x, metadata)
    except TypeError as error:
        raise ValueError(
            f"{type(model).__name__} takes no metadata, and the data have some: leave them out"
        ) from error
    return model(x, metadata)


@torch.no_grad()
def predict(
    model: nn.Module,
    data: DeviceData,
    scaler: Scaler,
    window_s: float = 2.5,
    how: Literal["max", "mean"] = "max",
    bf16: bool = False,
    batch_size: int = 64,
    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid",
) -> np.ndarray:
    """Probabilities for every record.

    The record is cut into windows that overlap by half, the model sees each, and the element-wise maximum
    (or mean) over the windows of a record counts. Windows that lie more than half in the zero padding after
    a short record are left out.

    Args:
        model: (B, leads, T) -> (B, K) logits, on the device of the data.
        data: N records.
        scaler: The one that the model was trained with.
        window_s: Length of a window in seconds.
        how: "max" for labels, "mean" for age and sex.
        bf16: Forward pass in bfloat16.
        batch_size: Records at a time.
        activation: "sigmoid" for any number of labels per record, "softmax" for exactly one, "none"
            for a number.

    Returns:
        Probabilities (or, with "none", the model's own output), float32, shape (N, K). Each part of the model
        is left in the mode that it was in, training or evaluation.

    Raises:
        ValueError: If `window_s` is not above 0, `batch_size` not a whole number of 1 or more, `how` or
            `activation` none of those, or the network takes no metadata where the data have some.

    Source:
        PTB-XL benchmark (Strodthoff et al., 2021), Appendix I.
    """
    if how not in ("max", "mean") or activation not in _ACTIVATIONS:
        raise ValueError(
            f"how is {how!r} and activation {activation!r}; choose 'max' or 'mean', and one of "
            f"{', '.join(_ACTIVATIONS)}"
        )
    check_sizes(2**31, batch_size=batch_size)
    window = window_samples(window_s, data)
    starts = torch.tensor(evaluation_starts(data.signals.shape[2], window), device=data.device)
    columns = starts[:, None] + torch.arange(window, device=data.device)  # (W, window)
    parts = []
    with evaluating(model):
        for first in range(0, len(data), batch_size):
            rows = slice(first, first + batch_size)
            windows = data.signals[rows][:, :, columns].permute(0, 2, 1, 3)  # (B, W, leads, window)
            batch, count, leads, _ = windows.shape
            x = scaler(windows.reshape(batch * count, leads, window), data.mv_per_unit)
            known = None if data.metadata is None else data.metadata[rows].repeat_interleave(count, dim=0)
            with torch.autocast(data.device.type, torch.bfloat16, enabled=bf16):
                logits = outputs(model, x, known)
            scores = _ACTIVATIONS[activation](logits.float()).reshape(batch, count, -1)  # (B, W, K)
            if data.lengths is not None:
                scores = _without_padding(scores, starts, data.lengths[rows], window, how)
            parts.append(aggregate(scores, how).cpu())
    return torch.cat(parts).numpy()


def _without_padding(
    scores: torch.Tensor, starts: torch.Tensor, lengths: torch.Tensor, window: int, how: str
) -> torch.Tensor:
    """Repeat the first window's score in place of windows that lie more than half in the padding.

    For the mean, the score of the padded windows becomes the mean of the others, so neither changes it.
    """
    real = (starts[None, :] + window // 2 < lengths[:, None]) | (starts[None, :] == 0)  # (B, W)
    weight = real.float()[..., None]
    if how == "max":
        filler = scores[:, :1]
    else:
        filler = (scores * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return torch.where(real[..., None], scores, filler)
