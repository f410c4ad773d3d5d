"""Windows: random ones for training, overlapping ones for evaluation, and the way back to records."""

from typing import Literal

import torch
from torch import Tensor

__all__ = ["aggregate", "evaluation_starts", "random_windows"]


def random_windows(
    signals: Tensor, window: int, generator: torch.Generator, lengths: Tensor | None = None
) -> Tensor:
    """Cut one window out of each record, each possible start being equally likely.

    Args:
        signals: Records, shape (B, leads, T), any type (int16 as stored), on any device.
        window: Samples per window.
        generator: Source of randomness. One on the CPU gives the same windows on every device.
        lengths: Valid samples per record, shape (B,), where records end before T. A window then ends
            where its record ends; a record shorter than the window gives its first `window` samples,
            padding included.

    Returns:
        Windows of the same type on the same device, shape (B, leads, window).

    Raises:
        ValueError: If `signals` is not 3-D, `window` is not between 1 and T, or `lengths` is not one per
            record.

    Source:
        PTB-XL benchmark, Appendix I: 2.5 s drawn at random from the record.

    >>> records = torch.arange(2 * 12 * 1000, dtype=torch.int16).reshape(2, 12, 1000)
    >>> random_windows(records, 250, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 12, 250])
    """
    if signals.ndim != 3:
        raise ValueError(f"signals has the shape {tuple(signals.shape)}; (B, leads, T) is wanted")
    batch, _, samples = signals.shape
    if not 1 <= window <= samples:
        raise ValueError(f"window is {window}; choose 1 to {samples}, the samples of the records")
    if lengths is not None and lengths.shape != (batch,):
        raise ValueError(f"lengths has the shape {tuple(lengths.shape)}; ({batch},) is wanted")
    kind = torch.float32 if generator.device.type == "mps" else torch.float64
    draw = torch.rand(batch, generator=generator, dtype=kind, device=generator.device)
    # Apple's GPUs have no float64: for them, the starts are worked out on the CPU.
    device = torch.device("cpu") if signals.device.type == "mps" else signals.device
    draw = draw.to(device, non_blocking=device.type == "cuda").double()
    if lengths is None:
        starts = (draw * (samples - window + 1)).long()
    else:
        last = (lengths.to(device).clamp(max=samples) - window).clamp(min=0)
        starts = (draw * (last + 1)).long()
    starts = starts.to(signals.device)
    views = signals.unfold(2, window, 1)  # (B, leads, T - window + 1, window), no copy
    return views[torch.arange(batch, device=signals.device), :, starts]  # (B, leads, window)


def evaluation_starts(samples: int, window: int) -> list[int]:
    """First samples of windows that overlap by half and cover a record to its end.

    Args:
        samples: Samples of the record.
        window: Samples per window.

    Raises:
        ValueError: If `window` is not between 1 and `samples`.

    Source:
        PTB-XL benchmark, Appendix I: windows of 2.5 s that overlap by half.

    >>> evaluation_starts(1000, 250)
    [0, 125, 250, 375, 500, 625, 750]
    >>> evaluation_starts(1040, 250)[-2:]
    [750, 790]
    """
    if not 1 <= window <= samples:
        raise ValueError(f"window is {window}; choose 1 to {samples}, the samples of the record")
    last = samples - window
    starts = list(range(0, last + 1, max(1, window // 2)))
    if starts[-1] != last:
        starts.append(last)
    return starts


def aggregate(window_scores: Tensor, how: Literal["max", "mean"] = "max") -> Tensor:
    """One score per record and class from the scores of its windows.

    Args:
        window_scores: Shape (B, windows, classes).
        how: "max" (labels) or "mean" (age, sex).

    Returns:
        Shape (B, classes).

    Raises:
        ValueError: If `how` is neither, or `window_scores` is not 3-D or has no windows.

    Source:
        PTB-XL benchmark, Appendix I: element-wise maximum, mean for age and sex.

    >>> aggregate(torch.tensor([[[0.1, 0.9], [0.3, 0.5]]])).tolist()
    [[0.30000001192092896, 0.8999999761581421]]
    """
    if window_scores.ndim != 3 or window_scores.shape[1] == 0:
        raise ValueError(
            f"scores have the shape {tuple(window_scores.shape)}; (B, windows, classes) is wanted"
        )
    if how == "max":
        return window_scores.amax(dim=1)
    if how == "mean":
        return window_scores.mean(dim=1)
    raise ValueError(f"how is {how!r}; choose 'max' or 'mean'")
