"""`Activity`: what happened when a network ran, as a plain value that can be saved, merged and shown. No energy.

The schema (records.py, whose names can be imported from here too) is the file format: `Activity.save` writes it as
JSON.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from snnprof import merging, run_file
from snnprof.errors import SnnprofError
from snnprof.records import (
    KINDS,
    NEURON_COUNTS,
    OLDER_SCHEMAS,
    PART_COUNTS,
    SCHEMA,
    Accuracy,
    ActivityRecord,
    Block,
    ConstantOp,
    DataFacts,
    Difference,
    ElementwiseRecord,
    Finding,
    Kind,
    LayerFlops,
    Measurement,
    ModelFacts,
    NeuronRecord,
    Operand,
    OpRecord,
    Part,
    Run,
    SelfCheck,
    SensorRecord,
    Stretch,
    Uncounted,
    add_parts,
    op_counts,
    pack_bits,
    parts_from,
    unpack_bits,
)
from snnprof.run_file import Target

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KINDS", "NEURON_COUNTS", "PART_COUNTS", "SCHEMA", "Accuracy", "Activity", "ActivityRecord", "Block", "ConstantOp",
    "DataFacts", "Difference", "ElementwiseRecord", "Finding", "Kind", "LayerFlops", "Measurement", "ModelFacts",
    "NeuronRecord", "OpRecord", "Operand", "Part", "Run", "SelfCheck", "SensorRecord", "Stretch", "Uncounted",
    "op_counts", "pack_bits", "parts_from", "unpack_bits",
]  # fmt: skip


class Activity(ActivityRecord):
    """Everything that was counted in one run, and the facts of the run. docs/counting.md defines every number."""

    # -- files ---------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Writes the activity as JSON, without a checksum.

        Returns:
            A JSON object by the schema of a run file, on one line.
        """
        try:
            return self.model_dump_json(by_alias=True, indent=None)
        except PydanticSerializationError:  # a file name that is not UTF-8, which JSON can hold by escapes alone
            return json.dumps(self.model_dump(by_alias=True), separators=(",", ":"))

    def save(self, path: str | Path | Target) -> None:
        """Writes a run file with a checksum of its content, in one step, so that a reader never sees half of it.

        Args:
            path: where to write it; a file that is there is replaced. A `Target` decides itself what it may replace.

        Raises:
            SnnprofError: the file cannot be written.
        """
        target = path if isinstance(path, Target) else Target(Path(path), force=True)
        target.write(self.sealed())

    def sealed(self) -> str:
        """Writes the activity as the content of a run file: JSON with a checksum.

        Returns:
            The text of the file.
        """
        return run_file.sealed(self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Activity:
        """Reads a run file.

        Args:
            path: the file.

        Returns:
            The activity that the file holds.

        Raises:
            SnnprofError: the file is missing, is not JSON, does not follow the schema, or its counts contradict each
                other.
        """
        return cls.from_json(run_file.read(Path(path)), str(path))

    @classmethod
    def from_json(cls, text: str, name: str = "run") -> Activity:
        """Reads the content of a run file.

        Args:
            text: the content.
            name: what error messages call the file.

        Returns:
            The activity that the text holds.

        Raises:
            SnnprofError: the text is not JSON, does not follow the schema, or its counts contradict each other.
        """
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SnnprofError(
                f"{name} is not a run file: not valid JSON", hint="make one with 'snnprof profile --output RUN.json'"
            ) from error
        _check_schema(raw, name)
        try:
            activity = cls.model_validate({**raw, "schema": SCHEMA})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise SnnprofError(f"{name}: {where}: {first['msg'].lower()}") from error
        activity._check_operations(name)
        activity._check_sums(name)
        activity._check_steps(name)
        activity.run.checksum = None  # it is the file's, and made anew when it is written
        return activity

    # -- parts and unions ----------------------------------------------------------------------------------

    def restricted(self, block: Block) -> Activity:
        """Returns the activity as if only the batches of one block had run.

        Args:
            block: one of `blocks`, or a sum of some.

        Returns:
            An activity with the counts of that block; operands keep the values that the whole run showed.
        """
        return merging.restrict(self, block)

    def at_step(self, step: int) -> Activity:
        """Returns what the contractions and neuron layers counted at one time step.

        Args:
            step: the time step, from 0 on.

        Returns:
            An activity with the contractions' counts of that step, 0 if their steps were not counted separately. Neuron
            layers have their spikes of that step and an even share of their updates. Other arithmetic and blocks are
            left out.
        """
        return merging.at_step(self, step)

    def merge(self, other: Activity) -> Activity:
        """Adds another run of the same network: counts add, and the blocks of the other run follow those of this one.

        Neighbouring blocks are joined if there are more than 64.

        Args:
            other: the other run.

        Returns:
            An activity of both runs, with the facts of this one.

        Raises:
            SnnprofError: the two runs have different operations.
        """
        return merging.concatenate(self, other)

    # -- views ---------------------------------------------------------------------------------------------

    def to_dataframe(self) -> pd.DataFrame:
        """Lists the operations with their raw counts over the whole run.

        Returns:
            A data frame with one row for each operation. Its columns are layer, op, index, calls, steps, fed_by,
            weights, bias_adds and the counts of `Part`.
        """
        import pandas as pd

        names = (*PART_COUNTS,)
        rows = [
            {
                "layer": op.layer, "op": op.op, "index": op.index, "calls": op.calls, "steps": op.steps,
                "fed_by": " ".join(op.fed_by), "weights": op.weights, "bias_adds": op.bias_adds,
                **{name: op._total(name) for name in names},
            }
            for op in self.ops
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def _check_operations(self, name: str) -> None:
        """Checks what the schema leaves open and the arithmetic relies on: sizes in shapes, operands that are data."""
        for op in self.ops:
            sizes = [size for shape in op.shape.values() for size in (shape if isinstance(shape, list) else [shape])]
            if not all(isinstance(size, int) and size >= 0 for size in sizes):
                raise SnnprofError(f"{name}: the shape of {op.layer!r} is not a list of sizes")
            if op.op == "matmul" and len(op.data) != 2 and not op.weights:
                raise SnnprofError(f"{name}: the product in {op.layer!r} has {len(op.data)} data operands, not 2")
            if op.op != "matmul" and not op.data:
                raise SnnprofError(f"{name}: the operation in {op.layer!r} has no data operand")

    def _check_sums(self, name: str) -> None:
        """Refuses a run file whose blocks do not add up to its totals: somebody edited or damaged it."""
        if not self.blocks:
            return
        for part in ("ops", "neurons", "elementwise"):
            if any(len(getattr(block, part)) != len(getattr(self, part)) for block in self.blocks):
                raise SnnprofError(f"{name}: a block does not list the run's {part}; the file is damaged")
        for part, totals in self._totals().items():
            for position, (label, counts) in enumerate(totals):
                columns = [getattr(block, part)[position] for block in self.blocks]
                if any(len(column) != len(counts) for column in columns):
                    raise SnnprofError(f"{name}: a block of {label!r} has the wrong length; the file is damaged")
                if [functools.reduce(merging.add, values) for values in zip(*columns, strict=True)] != counts:
                    raise SnnprofError(
                        f"{name}: the blocks of {label!r} do not add up to its totals; the file is damaged"
                    )

    def _check_steps(self, name: str) -> None:
        for op in self.ops:
            if op.parts_by_step and functools.reduce(add_parts, op.parts_by_step, list[Part]()) != op.parts:
                raise SnnprofError(
                    f"{name}: the steps of {op.layer!r} do not add up to its totals; the file is damaged"
                )

    def _totals(self) -> dict[str, list[tuple[str, list[int | None]]]]:
        """Returns the totals that the blocks must add up to: names and integers, in the order of a block's lists."""
        return {
            "ops": [(op.layer, [*op_counts(op)]) for op in self.ops],
            "neurons": [(n.layer, [*(getattr(n, c) for c in NEURON_COUNTS), *n.spikes_per_step]) for n in self.neurons],
            "elementwise": [(f"{line.layer} {line.op}", [line.elements, line.nonzero]) for line in self.elementwise],
        }


def _check_schema(raw: Any, name: str) -> None:
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema in (SCHEMA, *OLDER_SCHEMAS):
        return
    if isinstance(schema, str) and schema.startswith("snnprof.activity/"):
        raise SnnprofError(
            f"{name} has schema {schema!r}; this snnprof reads {SCHEMA!r} and older ones",
            hint="update snnprof, or profile again",
        )
    raise SnnprofError(
        f"{name} is not a run file: it has no schema {SCHEMA!r}",
        hint="make one with 'snnprof profile --output RUN.json'",
    )
