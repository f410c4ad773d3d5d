"""What the README says of the results: the state of the scoreboard in one line, and one picture.

python tools/readme.py write | check
"""

import sys
from pathlib import Path

from bookinfo import ROOT

from ecgbook.page.style import BLUE, use_style
from ecgbook.papers import audit, scoreboard
from ecgbook.papers.cells import column
from ecgbook.papers.printed import number
from ecgbook.papers.scoreboard import VERDICTS
from ecgbook.runs import results

__all__ = ["counts", "draw", "main"]

README, PICTURE = ROOT / "README.md", ROOT / "book" / "_static" / "table_2.svg"
BEGIN, END = "<!-- results: tools/readme.py writes the line below -->", "<!-- end of results -->"
TASKS = {
    "all": "all statements",
    "diagnostic": "diagnostic",
    "subdiagnostic": "sub-diagnostic",
    "superdiagnostic": "super-diagnostic",
    "form": "form",
    "rhythm": "rhythm",
}
_PRINTED = {"diagnostic": "diag.", "subdiagnostic": "sub-diag.", "superdiagnostic": "super-diag."}


def counts() -> str:
    """The state of the scoreboard and of the audit, as the README prints it."""
    board, findings = scoreboard(ROOT / "results"), audit()
    words = [f"{(board['verdict'] == word).sum()} {word}" for word in VERDICTS]
    return (
        f"Today {len(board)} claims: {', '.join(words)}. The audit of the printed tables has {len(findings)} "
        f"findings, {(findings['severity'] == 'conclusion').sum()} of which touch a conclusion."
    )


def draw() -> None:
    """Table II of the benchmark, the paper's macro AUC beside ours, into `PICTURE`."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    use_style()
    runs = results.load("ptbxl_benchmark", ROOT / "results")
    runs = runs[(runs["method"] == "supervised") & (runs["protocol"] == "paper") & (runs["seed"] == 0)]
    runs = runs.assign(order=runs["task"].map(list(TASKS).index)).sort_values(["order", "model"])
    with mpl.rc_context({"svg.hashsalt": "ecg", "svg.fonttype": "path"}):
        figure, axes = plt.subplots(figsize=(7, 1.2 + 0.34 * len(runs)), layout="constrained")
        for y, run in enumerate(runs.to_dict("records")):
            task, model = run["task"], run["model"]
            printed = number(
                column("ptbxl_benchmark", "Table II", _PRINTED.get(task, task), "AUC")[_name(model)]
            )
            point, low, high = (run[f"macro_auc{end}"] for end in ("", "_low", "_high"))
            axes.errorbar(printed.value, y - 0.15, xerr=printed.spread, fmt="D", color="black", capsize=3)
            axes.errorbar(
                point, y + 0.15, xerr=[[point - low], [high - point]], fmt="o", color=BLUE, capsize=3
            )
        axes.set_yticks(
            range(len(runs)), [f"{TASKS[t]}, {m}" for t, m in zip(runs["task"], runs["model"], strict=True)]
        )
        axes.invert_yaxis()
        axes.set(xlabel="macro AUC on the test fold, 95 % interval", title="Table II: paper ◆ and ours ●")
        axes.title.set_fontsize(12)
        figure.savefig(PICTURE, metadata={"Date": None})


def _name(model: str) -> str:
    return {"resnet1d_wang": "resnet1d wang", "fcn_wang": "fcn wang", "lstm_bidir": "lstm bidir"}.get(
        model, model
    )


def main() -> int:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command not in ("write", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    text = README.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    line, _, tail = rest.partition(END)
    said = counts()
    if command == "check":
        if line.strip() != said:
            print(
                f"README.md is behind the results; call `python tools/readme.py write`. It should say: {said}"
            )
        return int(line.strip() != said)
    README.write_text(f"{head}{BEGIN}\n{said}\n{END}{tail}", encoding="utf-8")
    draw()
    print(f"wrote {README.name} and {Path(PICTURE).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
