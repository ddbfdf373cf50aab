"""Writes the power log of a simulated chip, with known prices and noise, to try `snnprof hardware calibrate` on.

    python examples/power_log.py LOG.csv RUN.json...

The chip draws 64.4 mW, 23.6 pJ per SOP and 81 pJ per neuron update on two rails. Each run goes round for a second, four
times, as often as gives 30 mW; in between the chip is idle for a second. Each sample of a rail scatters by 2 %.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

from snnprof.activity import Activity
from snnprof.calibration import work_of

STATIC_W, SOP_J, UPDATE_J = 64.4e-3, 23.6e-12, 81e-12
RAILS = {"core": 0.8, "sram": 0.2}
STEP_S, SAMPLES, REPEATS, DYNAMIC_W, NOISE = 0.01, 100, 4, 0.03, 0.02


def write(log: Path, runs: list[Path]) -> None:
    """The log of the runs."""
    scatter, time = random.Random(0), 0.0
    energies = {run.name: energy(run) for run in runs}
    with log.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["time", "rail", "watts", "stretch", "run", "inferences"])
        for repeat in range(REPEATS):
            for name in ["", *energies]:
                joules, seconds = energies.get(name, 0.0), SAMPLES * STEP_S
                inferences = max(1, round(DYNAMIC_W * seconds / joules)) if joules else 0
                watts = STATIC_W + inferences * joules / seconds
                for _ in range(SAMPLES):
                    for rail, share in RAILS.items():
                        shown, stretch = f"{watts * share * scatter.gauss(1, NOISE):.6f}", f"{name or 'idle'} {repeat}"
                        lines.writerow([f"{time:.2f}", rail, shown, stretch, name, inferences or ""])
                    time += STEP_S


def energy(run: Path) -> float:
    """Joules per inference."""
    work = work_of(Activity.load(run), run.name)
    return SOP_J * work.sops + UPDATE_J * work.updates


if __name__ == "__main__":
    write(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
