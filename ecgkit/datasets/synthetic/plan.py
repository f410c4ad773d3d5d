"""Who is recorded how often: the same whatever the number of records asked for."""

from collections.abc import Iterator

import numpy as np

from ecgkit.datasets.synthetic.patients import Patient, draw_patient

__all__ = ["LAYOUTS", "fold_of", "recordings", "stream"]

#: The layouts that can be written. A layout's place in this tuple is part of its random seeds: append only.
LAYOUTS = ("ptbxl", "cpsc2018", "cpsc2018_extra", "georgia", "csn", "ptb", "sph")

_PATIENT, _RECORD, _META, _COUNT, _FOLD = range(5)


def stream(seed: int, layout: str, what: str, number: int) -> np.random.Generator:
    """Randomness for one purpose: independent of every other stream and of how many records there are."""
    purposes = {"patient": _PATIENT, "record": _RECORD, "meta": _META, "count": _COUNT, "fold": _FOLD}
    return np.random.default_rng([seed, LAYOUTS.index(layout), purposes[what], number])


def recordings(seed: int, layout: str, n: int) -> Iterator[tuple[int, Patient]]:
    """Number (from 1) and patient of each of `n` records; one patient in seven comes back once or twice."""
    index, number = 0, 0
    while index < n:
        number += 1
        patient = draw_patient(stream(seed, layout, "patient", number), number)
        counts = stream(seed, layout, "count", number).choice([1, 2, 3], p=[0.86, 0.10, 0.04])
        for _ in range(min(int(counts), n - index)):
            index += 1
            yield index, patient


def fold_of(seed: int, patient: int) -> int:
    """Fold 1 to 10 of a patient (numbered from 1): each ten patients in a row go to the ten folds."""
    block, place = divmod(patient - 1, 10)
    return int(stream(seed, "ptbxl", "fold", block).permutation(10)[place]) + 1
