"""Which experiment is broken at which step by which crash: each pair of two of these, in as few cells as can be."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from tests.e2e.test_interrupted_faults import EXPERIMENTS as SHORT

#: The steps of a run, as the matrix names them, in their order.
STEPS = ("preflight", "capture", "baseline", "before injection", "window", "undo", "recovery", "record")
#: What is done to the run, its host or its target, and what that means.
CRASHES = {
    "play killed": "SIGKILL of ansible-playbook and its workers",
    "play interrupted": "Ctrl-C, again every ten seconds until it has ended",
    "watchdog killed": "SIGKILL of the watchdog that works",
    "watchdogs killed": "SIGKILL of both watchdogs in one instant",
    "all killed": "SIGKILL of ansible-playbook and of every process of the run in one instant",
    "target restarted": "docker restart",
    "target re-created": "docker-compose up --force-recreate, as the owner of the exchange does",
    "target paused": "docker pause; unpaused 15 s later",
    "state full": "the file system of the state folder is full to the last byte",
    "state read-only": "the state folder is mounted read-only; what is open stays open",
    "reports full": "the file system of the report folder is full to the last byte",
}


@dataclass(frozen=True)
class Experiment:
    """An experiment as it is run here: with a window of seconds, and the service that a crash of its target hits."""

    number: int
    playbook: str
    variables: dict[str, str]
    target: str


_TARGETS = {
    1: "postgres", 2: "trading-api", 3: "trading-api", 4: "trading-api", 5: "postgres", 6: "postgres", 7: "redis",
    8: "nginx", 9: "trading-api", 10: "postgres", 11: "trading-api", 12: "postgres", 13: "postgres",
    14: "trading-api", 16: "trading-api",
}  # fmt: skip
EXPERIMENTS = {
    int(name[:2]): Experiment(int(name[:2]), f"playbooks/{name}.yml", variables, _TARGETS[int(name[:2])])
    for name, _fault, variables in SHORT
}


@dataclass(frozen=True)
class Cell:
    """A place in the matrix."""

    experiment: int
    step: str
    crash: str

    @property
    def name(self) -> str:
        """Return the cell's name, as a word of file names and command lines."""
        return "-".join([f"{self.experiment:02d}", *f"{self.step} {self.crash}".split()])


def cover(experiments: Sequence[int], steps: Sequence[str], crashes: Sequence[str]) -> list[Cell]:
    """Return cells that have each pair of experiment and step, experiment and crash, step and crash.

    Each pair of experiment and crash comes once, so that no cover is smaller. Raises ValueError where steps outnumber
    experiments or crashes, for which going round the steps is no cover.
    """
    if len(steps) > min(len(experiments), len(crashes)):
        raise ValueError("there are more steps than experiments or crashes")
    return [
        Cell(experiment, steps[(row + column) % len(steps)], crash)
        for row, experiment in enumerate(experiments)
        for column, crash in enumerate(crashes)
    ]


def pairs(cells: Iterable[Cell]) -> set[tuple[str, str]]:
    """Return the pairs of experiment, step and crash that are in cells."""
    return {pair for cell in cells for pair in _pairs(cell)}


def _pairs(cell: Cell) -> Iterator[tuple[str, str]]:
    words = (f"experiment {cell.experiment:02d}", f"step {cell.step}", f"crash {cell.crash}")
    return combinations(words, 2)


def matrix() -> list[Cell]:
    """Return the cells of the matrix."""
    return cover(tuple(EXPERIMENTS), STEPS, tuple(CRASHES))


def drawn(cells: Sequence[Cell], seed: int) -> list[Cell]:
    """Return cells in the order that a seed draws."""
    return random.Random(seed).sample(cells, len(cells))


def only(cells: Iterable[Cell], conditions: Sequence[str]) -> list[Cell]:
    """Return the cells that meet all conditions, such as ``step=window``. Raises ValueError for what is none."""
    wanted: dict[str, str] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        known = {"experiment": [f"{number:02d}" for number in EXPERIMENTS], "step": STEPS, "crash": CRASHES}
        if not equals or value not in known.get(key, ()):
            raise ValueError(
                f"{condition!r} is no condition; it must be experiment=, step= or crash= with one of "
                f"{', '.join(known.get(key) or sorted(known))}"
            )
        wanted[key] = value
    return [
        cell
        for cell in cells
        if all({"experiment": f"{cell.experiment:02d}", "step": cell.step, "crash": cell.crash}[key] == value
               for key, value in wanted.items())
    ]  # fmt: skip
