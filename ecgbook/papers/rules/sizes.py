"""What a ResNet-18 for ECGs must weigh: parameters and buffers counted by hand, layer by layer."""

from collections.abc import Sequence

from ecgbook.papers.printed import number
from ecgbook.papers.rules.arithmetic import Outcome

__all__ = ["resnet18_mib", "saved_size", "size_change"]


def resnet18_mib(
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (2, 2, 2, 2),
    stem_kernel: int = 15,
    metadata_units: int = 10,
    se: bool = True,
    bn1: bool = True,
    bn2: bool = True,
    conv2: bool = True,
    separable: bool = False,
    leads: int = 12,
    classes: int = 26,
) -> float:
    """MiB of the weights and buffers of the thesis's ResNet-18, as 4-byte numbers, without any file overhead.

    A convolution has in x out x kernel weights; a separable one in x kernel + in x out; a BatchNorm 4 numbers
    per channel and one 8-byte counter; a Squeeze-and-Excitation layer with reduction 16 has 2 x c x c / 16.

    Source:
        Ahmed (2025), section 3.4 and appendix A.

    >>> round(resnet18_mib(), 2), round(resnet18_mib(widths=(16, 32, 64, 128)), 2)
    (33.75, 2.2)
    """

    def convolution(n_in: int, n_out: int) -> int:
        return n_in * 7 + n_in * n_out if separable else n_in * n_out * 7

    floats, counters = leads * 64 * stem_kernel + 4 * 64, 1
    n_in = 64
    for stage, (width, repeats) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(repeats):
            floats += convolution(n_in, width)
            floats += convolution(width, width) if conv2 else 0
            floats += 4 * width * (bn1 + bn2) + (width * (width // 16) * 2 if se else 0)
            counters += bn1 + bn2
            if block == 0 and (stage > 0 or n_in != width):
                floats += n_in * width + 4 * width
                counters += 1
            n_in = width
    floats += 3 * metadata_units + metadata_units + (n_in + metadata_units) * classes + classes
    return (4 * floats + 8 * counters) / 2**20


def saved_size(printed: str, overhead_kib: float = 64.0, **changes: object) -> Outcome:
    """A printed size must be possible for the architecture described: its numbers, plus a file's overhead.

    >>> saved_size("33.78").ok, saved_size("2.24", widths=(48, 96, 192, 384)).ok
    (True, False)
    """
    p = number(printed)
    low = resnet18_mib(**changes)  # type: ignore[arg-type]
    high = low + overhead_kib / 1024
    return Outcome(low <= p.high and p.low <= high, printed, f"{low:.2f} to {high:.2f}")


def size_change(base: str, printed: str, **changes: object) -> Outcome:
    """The change of a printed size must be possible: what was removed weighs what its numbers weigh.

    The overhead of a file is nearly the same before and after, so the change is known better than the size.

    >>> size_change("33.78", "33.70", metadata_units=5).implied
    'a change of -0.0006'
    """
    change = resnet18_mib(**changes) - resnet18_mib()  # type: ignore[arg-type]
    a, b = number(base), number(printed)
    slack = (a.step + b.step) / 2 + 20 / 1024  # 20 KiB for the names of layers that come or go
    ok = abs((b.value - a.value) - change) <= slack
    return Outcome(ok, f"{base} to {printed}", f"a change of {change:+.4f}")
