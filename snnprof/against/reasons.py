"""The conventions in which snnprof (by `exact`) and other tools differ, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A difference of convention, in a few words and in a sentence."""

    title: str
    text: str

    def sentence(self, tool: str) -> str:
        """Returns what snnprof does, and what a tool with this name does."""
        return self.text.format(tool=tool)


REASONS: dict[str, Reason] = {
    "levels": Reason(
        "input of whole numbers",
        "The input holds whole numbers beyond 0 and 1 (sums of spikes). snnprof counts n additions for a spike of "
        "value n; {tool} counts multiply-accumulates.",
    ),
    "scaled": Reason(
        "scaled input",
        "The input is spikes times a constant (average pooling, a scaled attention), which folds into the weights. "
        "snnprof counts additions; {tool} sees values other than 0 and 1 and counts multiply-accumulates.",
    ),
    "signed": Reason(
        "negative spikes",
        "The input holds −1. snnprof counts an addition for each spike; {tool} takes 0 and 1 alone for "
        "spikes and counts multiply-accumulates.",
    ),
    "mixed": Reason(
        "real and spiking steps",
        "The input is real at some time steps and spikes at others. snnprof tells steps apart; for {tool} "
        "one real value makes the whole call multiply-accumulates.",
    ),
    "values": Reason(
        "real input that is all 0 or 1",
        "The input is real by its origin, but its values are those of spikes in this call. snnprof counts "
        "multiply-accumulates; {tool} judges by values and counts additions.",
    ),
    "padding": Reason(
        "taps on zero padding",
        "A convolution's taps on zero padding multiply nothing. snnprof leaves them out, {tool} counts them.",
    ),
    "one_side": Reason(
        "zeros of one operand only",
        "A product of data with data. snnprof counts the pairs of two non-zero elements; {tool} counts the "
        "spikes of the operand that is 0 and 1, each times the whole extent of the other operand.",
    ),
    "dense_product": Reason(
        "no operand is 0 and 1",
        "A product of data with data, neither of which is all 0 and 1. snnprof counts the pairs of two non-zero "
        "elements; {tool} counts dense multiply-accumulates.",
    ),
    "binary_weights": Reason(
        "weights of 0 and 1",
        "All weights are 0 or 1. snnprof tells weights from spikes; {tool} takes them for spikes, and counts the "
        "weights of 1 times the results of each.",
    ),
    "batch_norm": Reason(
        "batch norm not folded",
        "snnprof folds a batch norm into the convolution or linear layer before it, which leaves the addition of a "
        "bias. {tool} counts one multiply-accumulate and one addition for each element, and one addition "
        "for each channel.",
    ),
    "bias": Reason(
        "biases",
        "snnprof counts the addition of a bias; {tool} does not, where one operator multiplies and adds it.",
    ),
    "neuron": Reason(
        "arithmetic inside neurons",
        "{tool} counts the additions and subtractions by which a neuron is written in PyTorch, so they "
        "differ between frameworks and backends. snnprof counts neuron updates, which have no price here.",
    ),
    "residual": Reason(
        "residual sums",
        "snnprof counts an addition for each non-zero operand of a sum of spikes; {tool} does so only where "
        "both operands are all 0 and 1, and else counts one addition for each element.",
    ),
    "reduction": Reason(
        "means and sums",
        "snnprof counts the non-zero elements that a mean, sum or average pooling adds up; {tool} counts "
        "all elements, less one for each result.",
    ),
    "no_rule": Reason(
        "no rule there",
        "{tool} has no rule for this operator, so it counts nothing; snnprof counts it.",
    ),
    "not_seen": Reason(
        "not seen by the other tool",
        "{tool} looks at modules with weights (Linear, Conv1d to Conv3d). It sees no product of data with "
        "data, no functional call, and no arithmetic outside these modules.",
    ),
    "zero_inputs": Reason(
        "zeros of a real input",
        "snnprof counts a multiply-accumulate for each real input and weight, zeros included, since dense hardware "
        "runs them all; {tool} counts non-zero inputs only.",
    ),
    "zero_weights": Reason(
        "zero weights", "snnprof counts every weight that a spike meets; {tool} leaves out weights that are 0."
    ),
    "per_call": Reason(
        "additions or multiply-accumulates by call",
        "The number of operations agrees. {tool} decides for each call whether they are additions or "
        "multiply-accumulates, by the values in that call.",
    ),
    "rounding": Reason(
        "its sum is rounded",
        "{tool} adds up counts in 32-bit floating point, which is not exact beyond 2²⁴; snnprof counts in "
        "whole numbers.",
    ),
    "own": Reason(
        "its own counting",
        "Arithmetic of {tool}'s memory counter, which runs inside its additions counter and is counted as the model's.",
    ),
    "unexplained": Reason(
        "unexplained",
        "No known convention leads from snnprof's figure to {tool}'s. Do not quote either before you know "
        "why; a report to snnprof's issues helps.",
    ),
}
