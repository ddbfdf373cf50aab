"""What a recording is told, what it learns of its passes, and what a reader of its counts must know."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnprof.activity import Finding


@dataclass
class Recording:
    """Shared by all that takes part in one recording.

    Attributes:
        layout: what the first axes of the model's input are: `batch`, `time-batch`, `batch-time` or `step`.
        timesteps: T; None where nobody has said it, and no pass has shown it.
        input: `auto`, `spikes` or `real`.
        batch_size: samples in the pass that runs.
        notes: findings so far, each once.
    """

    layout: str
    timesteps: int | None
    input: str
    batch_size: int | None = None
    notes: list[Finding] = field(default_factory=list)

    def note(self, code: str, layer: str, text: str, hint: str) -> None:
        finding = Finding(code=code, layer=layer, text=text, hint=hint)
        if finding not in self.notes:
            self.notes.append(finding)
