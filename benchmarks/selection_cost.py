"""What training on less data costs in seconds, beside plain training and beside what is counted.

    python benchmarks/selection_cost.py --rounds 3

The same network is trained on the same records with each method in turn, several rounds, so that a busy
machine slows all of them alike. For each method: the ratio of its seconds (choosing, Grad-CAM and training;
validation left out) to those of plain training in the same round, beside the ratios of effective epochs and
of compute-equivalent epochs. Medians over the rounds go to selection_cost.json beside this file.
"""

import argparse
import statistics
from typing import Any

import numpy as np
import torch
from record import save

from ecgkit import datasets, models
from ecgkit.datasets.derived import single_label
from ecgkit.training import choose_device, fit_scaler, selection, to_device

PLAIN = "full data"
ERTS = {"tau": 0.7, "phi": 0.9, "rule": "share"}
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    PLAIN: ("full_data", "batch", {}),
    **{f"DBPD, {way}": ("dbpd", way, {"tau": 0.7}) for way in ("batch", "rebatch", "epoch", "stale")},
    **{f"ERTS-DBPD, {way}": ("erts_dbpd", way, ERTS) for way in ("batch", "rebatch", "stale")},
    "SRD, batch": ("srd", "batch", {"gamma": 0.7}),
    "SRD, rebatch": ("srd", "rebatch", {"gamma": 0.7}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="synthetic", help="data set; synthetic needs no download")
    parser.add_argument("--records", type=int, default=1024, help="training records")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    train, validation, _ = single_label(
        datasets.load(arguments.data, task="superdiagnostic").labelled()
    ).split()
    train = train.subset(np.arange(arguments.records) % len(train))
    scaler, classes = fit_scaler(train), len(train.classes)
    parts = to_device(train, device), to_device(validation.subset(np.arange(64) % len(validation)), device)

    def trained(method: str, granularity: str, settings: dict[str, Any]) -> dict[str, float]:
        torch.manual_seed(0)
        model = models.create("resnet18", 12, classes, width=arguments.width).to(device)
        config = selection.SelectionConfig(
            epochs=arguments.epochs,
            granularity=granularity,
            bf16=True,
            rescore_every=2,
            validate_every=arguments.epochs,
        )
        done = selection.train_with_selection(
            model, *parts, scaler, config, selection.create(method, **settings), seed=0
        )
        count, seconds = done.count, done.seconds
        return {
            "seconds": seconds["select"] + seconds["grad_cam"] + seconds["train"],
            "grad_cam_seconds": seconds["grad_cam"],
            "effective_epochs": selection.effective_epochs(count.backprop, len(train)),
            "compute_equivalent_epochs": selection.compute_equivalent_epochs(
                count.backprop, count.scored, len(train)
            ),
        }

    trained(*METHODS[PLAIN])  # warms up, does not count
    rounds = [{name: trained(*what) for name, what in METHODS.items()} for _ in range(arguments.rounds)]
    found = {
        name: {
            **{key: statistics.median(r[name][key] for r in rounds) for key in rounds[0][name]},
            **{
                f"{key}_ratio": statistics.median(r[name][key] / r[PLAIN][key] for r in rounds)
                for key in ("seconds", "effective_epochs", "compute_equivalent_epochs")
            },
        }
        for name in METHODS
    }
    measured = {
        "what": "training with selection over plain training, medians over the rounds",
        "methods": found,
        "network": f"resnet18, width {arguments.width}, bf16",
        "records": len(train),
        "epochs": arguments.epochs,
        "rounds": arguments.rounds,
        "data": f"{train.name} {train.version}",
    }
    save(__file__, measured, torch.get_num_threads(), device.type)


if __name__ == "__main__":
    main()
