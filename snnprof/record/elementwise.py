"""The table  aten operator → line of other arithmetic: batch norm, pooling, adds, masks, reductions, compares.

Default deny: an operator on data that is neither a contraction, nor here, nor free (it moves or names values but
computes none) is uncounted, and listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from snnprof.record.provenance import Facts

_LINES = {
    "batch_norm": "batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
    "_batch_norm_no_update _batch_norm_with_update cudnn_batch_norm miopen_batch_norm _batch_norm_impl_index",
    "pool": "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices "
    "max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d "
    "adaptive_max_pool3d",
    "add": "add add_ sub sub_ rsub",
    "mul": "mul mul_ div div_",
    "mask": "masked_fill masked_fill_ where logical_and logical_or logical_not logical_xor logical_and_ logical_or_ "
    "logical_not_ bitwise_and bitwise_or bitwise_not bitwise_xor",
    "reduce": "sum mean cumsum cumsum_ _embedding_bag _embedding_bag_forward_only index_add index_add_ scatter_add "
    "scatter_add_ scatter_reduce scatter_reduce_ index_reduce index_reduce_",
    "compare": "gt ge lt le eq ne gt_ ge_ lt_ le_ eq_ ne_ heaviside sign sgn sign_ sgn_ relu relu_ clamp clamp_ "
    "clamp_min clamp_max clamp_min_ clamp_max_ sort topk argmax argmin "
    "hardtanh hardtanh_ round round_ floor floor_ ceil ceil_ trunc trunc_ floor_divide floor_divide_ remainder "
    "remainder_ frac frac_ signbit maximum minimum fmax fmin amax amin max min threshold threshold_ any all",
}
LINES = {name: line for line, names in _LINES.items() for name in names.split()}

FREE = frozenset(
    "alias view _unsafe_view _reshape_alias reshape permute transpose transpose_ t t_ clone contiguous detach detach_ "
    "unsqueeze unsqueeze_ squeeze squeeze_ flatten unflatten movedim as_strided lift_fresh lift_fresh_copy lift "
    "_to_copy to positive expand expand_as view_as adjoint mT numpy_T swapaxes set_ resize_ alias_copy "
    "dropout native_dropout alpha_dropout feature_dropout select slice narrow split split_with_sizes chunk unbind "
    "unsafe_split unsafe_split_with_sizes unsafe_chunk "
    "tensor_split index index_select gather take take_along_dim repeat repeat_interleave tile unfold im2col col2im "
    "flip roll rot90 diagonal tril triu tril_ triu_ cat stack concat hstack vstack copy_ copy select_scatter "
    "slice_scatter index_put index_put_ _index_put_impl_ index_copy index_copy_ scatter scatter_ constant_pad_nd pad "
    "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
    "pixel_shuffle pixel_unshuffle channel_shuffle masked_select upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d atleast_1d atleast_2d atleast_3d abs abs_ neg neg_ zero_ fill_ zeros zeros_like new_zeros "
    "ones ones_like new_ones full full_like new_full empty empty_like new_empty empty_strided new_empty_strided "
    "empty_permuted arange rand randn rand_like randn_like bernoulli bernoulli_ scalar_tensor item equal "
    "_local_scalar_dense is_nonzero nonzero embedding sym_size sym_stride sym_numel "
    "size stride numel is_same_size random_ uniform_ normal_ randint randperm isnan isinf isfinite view_as_real "
    "_assert_async _has_compatible_shallow_copy_type record_stream set_data data prim_layout layout device dim "
    "_nested_view_from_jagged _nested_get_values _has_same_storage_numel _conj _neg_view real imag complex "
    "is_coalesced _assert_tensor_metadata".split()
)

_OF_RESULT = frozenset(["add", "bias", "mul", "mask"])
"""Lines of operators that have as many elements as their result."""
_READ_OUT = frozenset(["pool", "reduce", "batch_norm"])

SCATTERED = frozenset(
    "index_add index_add_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ index_reduce index_reduce_".split()
)
"""Additions to places that indices name: one for each value."""
LOOKUPS = frozenset(["embedding", "_embedding_bag", "_embedding_bag_forward_only"])


def line_of(name: str, facts: list[Facts]) -> str | None:
    """The line an operator belongs to, or None where it reads no data; `uncounted` where there is no rule.

    Args:
        name: aten operator that is not `FREE`, without namespace and overload.
        facts: of its tensor operands, in order.
    """
    if not any(f.data for f in facts):
        return None
    line = LINES.get(name, "uncounted")
    if line == "add":
        return "add" if len(facts) > 1 and all(f.data for f in facts[:2]) else "bias"
    if line == "mul" and len(facts) > 1 and all(_single_level(f) for f in facts[:2]):
        return "mask"
    return line


def work(name: str, line: str, args: Sequence[Any], result: Any) -> int:
    """Elements of a line: of the operand where it is read out (pooling, reductions), else of the result.

    An embedding bag adds a row of the table for each index.

    Args:
        result: what came out, or the operand that is changed in place.
    """
    if line in _OF_RESULT:
        return int(result.numel())
    if name in LOOKUPS:
        return int(args[1].numel() * args[0].shape[1])
    if name in SCATTERED:
        return int(max(value.numel() for value in args[1:] if isinstance(value, Tensor)))
    if line in _READ_OUT or not isinstance(result, Tensor):
        return int(args[0].numel())
    return int(max(args[0].numel(), result.numel()))  # compares, and largest values: the larger is what was read


def _single_level(facts: Facts) -> bool:
    return facts.single
