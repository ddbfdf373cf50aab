"""The settings of a recording, and the findings that it collects."""

from __future__ import annotations

from dataclasses import dataclass, field

from snnprof.activity import Finding


@dataclass
class Recording:
    """Settings and findings that all parts of one recording share.

    Attributes:
        layout: the first axes of the model's input: `batch`, `time-batch`, `batch-time` or `step`.
        timesteps: T; None as long as neither the caller nor a pass has told it.
        input: what the model's input holds: `auto`, `spikes` or `real`.
        batch_size: samples in the pass that runs or ran last; None before the first pass.
        notes: the findings so far, each once.
    """

    layout: str
    timesteps: int | None
    input: str
    batch_size: int | None = None
    notes: list[Finding] = field(default_factory=list)

    def note(self, code: str, layer: str, text: str, hint: str) -> None:
        """Adds a finding, unless the same one was added before."""
        finding = Finding(code=code, layer=layer, text=text, hint=hint)
        if finding not in self.notes:
            self.notes.append(finding)
