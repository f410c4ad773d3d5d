"""What a training costs apart from the clock: multiply-adds on any machine, joules on an NVIDIA GPU."""

from torch import nn

from ecgkit.compression import layer_table

__all__ = ["forward_multiply_adds", "gpu_joules", "training_multiply_adds"]


def forward_multiply_adds(model: nn.Module, leads: int, samples: int) -> int:
    """Multiply-adds of one record's way through a network; see `ecgkit.compression.layer_table`.

    >>> forward_multiply_adds(nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(32, 5)), 2, 10)
    352
    """
    return int(layer_table(model, leads, samples)["multiply_adds"].sum())


def training_multiply_adds(forward: int, backprop: int, scored: int) -> int:
    """Multiply-adds of a training, where a backward pass costs two forward passes.

    Grad-CAM is left out: its gradient passes through the head alone. So is the work on the validation fold,
    which no method needs to train.

    Args:
        forward: Multiply-adds of one forward pass of one record.
        backprop: Samples trained on, each a forward and a backward pass.
        scored: Samples that went forward for selection alone.

    >>> training_multiply_adds(forward=352, backprop=10, scored=6)  # 352 x (3 x 10 + 6)
    12672
    """
    return forward * (3 * backprop + scored)


def gpu_joules(index: int = 0) -> float | None:
    """Joules that an NVIDIA GPU has used since its driver was loaded: take the difference of two readings.

    The counter belongs to the card, not to a process: other work on it counts as well.

    Args:
        index: Number of the card, as NVIDIA's tools count them.

    Returns:
        None where there is no such card or counter, or the extra ``gpu`` of ecgkit is not installed.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, or no driver
        return None
    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(index)
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1000  # the counter is in mJ
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
