"""Training speed: ecgkit's loop beside a plain Dataset and DataLoader, and the time per epoch of each model.

    python benchmarks/training_speed.py --records 2048

Part one trains the same network on the same records twice: with int16 signals on the device and windows
cut there, and with the usual Dataset that cuts, scales and returns one window at a time through a
DataLoader (the faster of no worker and two workers counts). Both take the same optimiser steps. Part two
times a training step of every model family with and without bfloat16. Times, ratios and what they were
measured on go to training_speed.json beside this file.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from record import save
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ecgkit import datasets, models
from ecgkit.datasets.base import ECGDataset
from ecgkit.signals.windows import random_windows
from ecgkit.training import DeviceData, Scaler, choose_device, fit_scaler, to_device

WINDOW = 250  # 2.5 s at 100 Hz
BATCH = 128
# One or two of each family; the eighteen light networks lie between the first and the last.
FAMILIES = [n for n in models.names() if "/" not in n] + ["light_resnet18/E1", "light_resnet18/E18"]
PTBXL_TRAINING_RECORDS = 17_084  # superdiagnostic task, folds 1 to 8


class Windows(Dataset):
    """The usual way: one random window per index, scaled with NumPy."""

    def __init__(self, dataset: ECGDataset, scaler: Scaler) -> None:
        self.signals, self.labels = dataset.signals, dataset.labels.astype(np.float32)
        self.mv_per_unit, self.scaler = dataset.mv_per_unit, scaler

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = int(torch.randint(self.signals.shape[2] - WINDOW + 1, ()))
        window = self.signals[index, :, start : start + WINDOW].astype(np.float32) * self.mv_per_unit
        return (window - self.scaler.mean_mv) / self.scaler.std_mv, self.labels[index]


def on_device(data: DeviceData, scaler: Scaler) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """ecgkit's way, as in `ecgkit.training.loop`."""
    generator = torch.Generator().manual_seed(0)
    for rows in torch.randperm(len(data), generator=generator).to(data.device).split(BATCH):
        windows = random_windows(data.signals[rows], WINDOW, generator)
        yield scaler(windows, data.mv_per_unit), data.labels[rows]


def epoch_seconds(
    batches: Callable[[], Iterable], model: nn.Module, device: torch.device, bf16: bool, repeats: int
) -> float:
    """Median time of one pass with an optimiser step per batch, after one pass that does not count."""
    optimizer = torch.optim.AdamW(model.parameters())
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for x, y in batches():
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = model(x.to(device, torch.float32))
            loss = F.binary_cross_entropy_with_logits(logits.float(), y.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def has_amx() -> bool | None:
    """Whether the processor has hardware for products of bfloat16 matrices; None where torch does not say."""
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return ask() if ask else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="data set; synthetic needs no download")
    parser.add_argument(
        "--records", type=int, default=2048, help="training records, repeated where there are fewer"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--name", default="", help="of the machine: part of the name of the file")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    whole = datasets.load(arguments.data, task="superdiagnostic")
    dataset = whole.subset(np.arange(arguments.records) % len(whole))
    scaler, data = fit_scaler(dataset), to_device(dataset, device)
    classes, repeats = len(dataset.classes), arguments.repeats

    loops = {}
    for name in ("fcn_wang", "linear"):
        linear = nn.Sequential(nn.Flatten(), nn.Linear(12 * WINDOW, classes))
        model = (linear if name == "linear" else models.create(name, 12, classes)).to(device)
        plain = min(
            epoch_seconds(
                DataLoader(Windows(dataset, scaler), BATCH, shuffle=True, num_workers=workers).__iter__,
                model,
                device,
                False,
                repeats,
            )
            for workers in (0, 2)
        )
        ours = epoch_seconds(lambda: on_device(data, scaler), model, device, False, repeats)
        loops[name] = {
            "dataloader_windows_per_s": len(dataset) / plain,
            "ecgkit_windows_per_s": len(dataset) / ours,
            "ratio": plain / ours,
        }
        print(f"{name}: {plain / ours:.2f} times the windows per second of a DataLoader", flush=True)

    steps = -(-PTBXL_TRAINING_RECORDS // BATCH)
    small = to_device(dataset.subset(np.arange(4 * BATCH)), device)
    per_epoch = {}
    for name in FAMILIES:
        per_epoch[name] = {}
        for bf16 in (False, True):
            model = models.create(name, 12, classes).to(device)
            step = epoch_seconds(lambda: on_device(small, scaler), model, device, bf16, repeats) / 4
            per_epoch[name]["bf16" if bf16 else "float32"] = step * steps
        print(f"{name}: {per_epoch[name]} s per PTB-XL epoch", flush=True)

    measured = {
        "loops": loops,
        "seconds_per_ptbxl_epoch": per_epoch,
        "batch_size": BATCH,
        "window_samples": WINDOW,
        "records": len(dataset),
        "data": f"{dataset.name} {dataset.version}",
        "repeats": repeats,
        "amx": has_amx() if device.type == "cpu" else None,
    }
    script = Path(__file__)
    if arguments.name:
        script = script.with_stem(f"{script.stem}_{arguments.name}")
    save(str(script), measured, torch.get_num_threads(), device.type)


if __name__ == "__main__":
    main()
