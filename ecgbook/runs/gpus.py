"""Graphics cards by their data sheets: how fast they could be, and what an hour of them costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecgbook.runs.work import Work

__all__ = ["GPUS", "LAYER_S", "MARGIN", "Gpu", "gpu_seconds"]

MARGIN = 5.0  # assumed: a card takes at most so many times as long as its data sheet allows
LAYER_S = 150e-6  # assumed: most time to start a layer's kernels in the three passes of an optimiser step
_TOUCHES = 6  # each activation is written and read once forward, and twice backward
_BYTES = 4


@dataclass(frozen=True)
class Gpu:
    """A graphics card.

    Attributes:
        name: As torch calls it.
        title: As people call it.
        tflops: Most operations per second, in 10^12, for networks in float32 and in bfloat16.
        gb_per_s: Memory bandwidth.
        usd_per_hour: An example of what an hour costs.
        price_of: Whose price that is, and when it was read.
    """

    name: str
    title: str
    tflops: Mapping[Literal["float32", "bf16"], float]
    gb_per_s: float
    usd_per_hour: float
    price_of: str


GPUS = (
    Gpu(
        "Tesla T4",
        "T4",
        {"float32": 8.1, "bf16": 8.1},
        320,
        0.526,
        "AWS g4dn.xlarge, us-east-1, on demand, 2026-09-22",
    ),
    Gpu(
        "NVIDIA H100 80GB HBM3",
        "H100",
        {"float32": 494.7, "bf16": 989.4},
        3350,
        3.99,
        "RunPod Secure Cloud, H100 SXM, on demand, 2026-11-09",
    ),
)
"""Operations without sparsity and bandwidths are from NVIDIA's data sheets. The T4's 65 TFLOP/s are for
float16, which is not used here; it has no arithmetic for bfloat16 and is counted with float32. The H100's
float32 is TF32, which torch uses for convolutions and recurrent layers unless it is told not to.

Prices are examples: public list prices, as of the date (https://aws.amazon.com/ec2/pricing/on-demand/ and
https://www.runpod.io/pricing). For an H100, others ask from two thirds to three times as much.
"""


def gpu_seconds(work: Work, gpu: Gpu) -> tuple[float, float]:
    """How long a card that was not measured takes for the training of a run: an estimate, as a range.

    From below: forward once and backward twice, two operations per multiply-add, at the peak of the data
    sheet. From above, by assumption: the arithmetic and, after it, reading and writing the activations, both
    `MARGIN` times as slow as the data sheet says, and `LAYER_S` for each layer in each step.

    Args:
        work: What the run computes.
        gpu: The card.

    Returns:
        Seconds, from and to.

    >>> low, high = gpu_seconds(Work(1e6, 8000, 100_000_000, 500_000, 30), GPUS[0])
    >>> round(low), round(high)
    (74, 594)
    """
    operations = 3 * 2 * work.multiply_adds * work.windows
    low = operations / (1e12 * gpu.tflops["bf16" if work.bf16 else "float32"])
    memory = _TOUCHES * _BYTES * work.activations * work.windows / (1e9 * gpu.gb_per_s)
    return low, MARGIN * (low + memory) + LAYER_S * work.layers * work.steps
