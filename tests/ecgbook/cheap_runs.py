"""A cheap run of every method on 200 synthetic records of PTB-XL, for tests that all methods must pass."""

from ecgbook.experiments.execute import METHODS
from ecgbook.runs.run import Run
from ecgkit.datasets.synthetic import GENERATOR_VERSION

VERSION = f"synthetic-{GENERATOR_VERSION}"
LIGHT = ("superdiagnostic", "light_resnet18/E18")
SECOND = {"rate_hz": 100, "high_hz": 40.0, "seconds": 1.0, "epochs": 1}
SHORT = {"epochs": 1, "window_s": 10.0}
DRAWN = {"records": 24, "min_positives": 5, "epochs": 1, "batch_size": 16, "window_s": 1.0}
FOLDS = {
    "width": 2,
    "source": "rhythm",
    "targets": "diagnostic",
    "folds": 4,
    "n_labels": [2, 3],
    "source_epochs": 1,
}
CHOICE = {"groups": ["rhythm", "form"], "widths": [2], "source_epochs": [0, 1]}
_PARTS = [
    *((kind, (kind, LIGHT[1], SHORT)) for kind in ("age", "sex", "quality")),
    *((kind, (*LIGHT, SHORT)) for kind in ("supervised", "leakage", "decisions")),
    *((kind, (*LIGHT, SECOND)) for kind in ("thesis", "compressed")),
    *((kind, ("superdiagnostic", "none", {})) for kind in ("naive", "wavelet_nn")),
    ("decisions", ("superdiagnostic", "none", {"scorer": "wavelet_nn"})),
    ("ensemble", (*LIGHT, SHORT | {"members": 2})),
    ("erts_dbpd", ("superdiagnostic", "resnet18", {"epochs": 1, "width": 2})),
    (
        "planted",
        ("superdiagnostic", "resnet18", {"epochs": 1, "width": 2, "wrong_labels": 0.2, "ig_records": 2}),
    ),
    ("relevance", ("all", "resnet18", SHORT | {"width": 2, "most": 20, "draws": 2})),
    ("transfer", ("all", "fcn_wang", {"sites": [1, 2], "records": [8], "source_epochs": 1, "epochs": 2})),
    ("melep_folds", ("all", "resnet18", DRAWN | FOLDS)),
    ("melep_selection", ("all", "resnet18", DRAWN | CHOICE)),
]
CHEAP = [
    Run("x", "ptbxl", VERSION, task, model, method, "quick", 0, 100, params)
    for method, (task, model, params) in _PARTS
]
assert {METHODS[run.method] for run in CHEAP} == set(METHODS.values()), "a method has no cheap run: add one"
