"""The registry of aten operators: how each is counted, what facts its result has, and how it is decomposed.

Every name occurs once; the in-place form (`add_`) of an operator has the entry of the other form (`add`). An operator
on data that is no contraction, belongs to no line of other arithmetic, and is not known to only move values, is listed
as uncounted. To support an operator, add its name to a row of the table, or a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snnprof.record import decompositions, readings
from snnprof.record import propagation as result
from snnprof.record.contractions import Contraction
from snnprof.record.propagation import Transfer
from snnprof.record.provenance import ONE, ZERO, Facts, merged
from snnprof.record.readings import Reading

MOVES = "moves"
"""In place of a line: the operator moves, describes or creates values and computes none."""


@dataclass(frozen=True)
class Operator:
    """The properties of an operator that hold for all of its calls.

    Attributes:
        line: the line of other arithmetic that its work belongs to; `MOVES` if it computes nothing; None if no rule
            counts it.
        transfer: computes the facts of its result; None: real values, made of all operands.
        reading: brings its call into the normal form of a contraction; None: it is none.
        rewrite: computes its result by operators that the recorder can count, or returns None if it cannot.
        accumulates: whether it adds values, instead of writing them, only if its fourth argument, `accumulate`, is set;
            only then is it rewritten.
        source: whether it creates a tensor without a tensor operand.
        constant: whether it makes constants of the numbers among its arguments.
        random: whether the same arguments may give other values.
        reduces: whether it may remove dimensions, which its second argument names.
        adds_rows: whether it may add up rows of a weight that data selected, which is a contraction.
        lookup: whether it selects rows of a table.
        softmax: whether it may run between the two products of an attention kernel.
        direct: whether the Python function of the same name runs this operator alone, or at most a copy besides.
    """

    line: str | None = None
    transfer: Transfer | None = None
    reading: Reading | None = None
    rewrite: Callable[..., Any] | None = None
    accumulates: bool = False
    source: bool = False
    constant: bool = False
    random: bool = False
    reduces: bool = False
    adds_rows: bool = False
    lookup: bool = False
    softmax: bool = False
    direct: bool = False

    @property
    def moves(self) -> bool:
        """Whether it only moves, describes or creates values."""
        return self.line == MOVES

    @property
    def arithmetic(self) -> str | None:
        """The line of other arithmetic; None if it computes nothing or no rule counts it."""
        return None if self.moves else self.line

    @property
    def scatters(self) -> bool:
        """Whether it adds values at places that an index names: one addition per value."""
        return self.line == "reduce" and self.transfer in (result.of_scatter, result.of_scatter_add)

    @property
    def shifts(self) -> bool:
        """Whether it may add a constant to spikes."""
        return self.line == "add"

    @property
    def decides(self) -> bool:
        """Whether it turns real values into whole numbers; inside a neuron, this is the operator that fires."""
        return self.transfer in _DECIDING

    @property
    def quantises(self) -> bool:
        """Whether it may turn real values into spikes, limit whole numbers, or add a constant to spikes."""
        return self.decides or self.shifts or self.transfer in _MAKING_SPIKES


_DECIDING = frozenset([
    result.of_compare, result.of_sign, result.of_heaviside, result.of_round, result.of_floor, result.of_ceil,
    result.of_trunc, result.of_floor_divide, result.of_fake_quantised, result.of_random_flags,
])  # fmt: skip
_MAKING_SPIKES = frozenset([
    result.of_bitwise, result.of_bitwise_not, result.of_div, result.of_cast, result.of_copied, result.of_where,
    result.of_masked_fill,
    result.of_scatter, result.of_index_put, result.of_scatter_add, result.of_random_whole, result.of_clamp,
    result.of_hardtanh, result.of_clamp_min, result.of_clamp_max, result.of_relu, result.of_minimum, result.of_maximum,
    result.of_copysign, result.of_places, result.of_last_places, result.of_buckets,
])  # fmt: skip


def _rows(line: str | None, transfer: Transfer | None, names: str, **traits: Any) -> Iterator[tuple[str, Operator]]:
    """Rows of the table: several names with the same properties."""
    operator = Operator(line, transfer, **traits)
    return ((name, operator) for name in names.split())


_ROWS: list[tuple[str, Operator]] = [
    # -- contractions
    *_rows("reduce", None, "_embedding_bag _embedding_bag_forward_only", reading=readings.bag, lookup=True),
    *_rows(None, None, "_addmm_activation addmm baddbmm", reading=readings.addmm),
    *_rows(None, None, "_cdist_forward", reading=readings.cdist),
    *_rows(None, None, "_convolution convolution convolution_overrideable", reading=readings.convolution),
    *_rows(None, None, "_cudnn_rnn", rewrite=decompositions.cudnn_rnn),
    *_rows(None, None, "_trilinear", rewrite=decompositions.bilinear),
    *_rows(None, None, "addbmm", reading=readings.addbmm),
    *_rows(None, None, "addmv", reading=readings.addmv),
    *_rows(None, None, "addr", reading=readings.addr),
    *_rows(None, None, "bmm mm", reading=readings.mm),
    *_rows(None, None, "conv1d conv2d conv3d", reading=readings.conv_nd),
    *_rows(None, None, "conv_transpose1d conv_transpose2d conv_transpose3d", reading=readings.conv_transpose_nd),
    *_rows(None, None, "dot vdot", reading=readings.dot),
    *_rows(None, None, "linear", reading=readings.linear),
    *_rows(None, None, "matmul", reading=readings.matmul),
    *_rows(None, None, "mkldnn_rnn_layer", rewrite=decompositions.one_layer_lstm),
    *_rows(None, None, "mv", reading=readings.mv),
    # -- data movement and constants
    *_rows(MOVES, None,
           "_assert_async _assert_tensor_metadata _conj _has_compatible_shallow_copy_type _has_same_storage_numel "
           "_local_scalar_dense _neg_view _nested_get_values _nested_view_from_jagged alias_copy complex data device "
           "dim dropout equal imag is_coalesced is_nonzero is_same_size item layout lift numel pad prim_layout "
           "record_stream resize_ set_ size stride sym_numel sym_size sym_stride tensor_split view_as_real"),
    *_rows(MOVES, result.of_abs, "abs"),
    *_rows(MOVES, result.of_arange, "arange", source=True),
    *_rows(MOVES, result.of_cast, "_to_copy to"),
    *_rows(MOVES, result.of_compare, "isfinite isinf isnan"),
    *_rows(MOVES, result.of_copied, "copy"),
    *_rows(MOVES, result.of_dropout, "native_dropout", random=True),
    *_rows(MOVES, result.of_filled(0, "s"), "scalar_tensor", constant=True, source=True),
    *_rows(MOVES, result.of_filled(1, "fill_value"), "full_like", constant=True),
    *_rows(MOVES, result.of_filled(1, "fill_value"), "full", constant=True, source=True),
    *_rows(MOVES, result.of_filled(1, "value"), "fill", constant=True),
    *_rows(MOVES, result.of_filled(2, "fill_value"), "new_full", constant=True),
    *_rows(MOVES, result.of_folded, "col2im"),
    *_rows(MOVES, result.of_index_put,
           "_unsafe_index_put index_put", rewrite=decompositions.added_by_index_put, accumulates=True),
    *_rows(MOVES, result.of_index_put, "_index_put_impl_ index_put_",
           rewrite=decompositions.in_place(decompositions.added_by_index_put), accumulates=True),
    *_rows(MOVES, result.of_masked_scatter, "masked_scatter"),
    *_rows(MOVES, result.of_masked_scatter, "put", rewrite=decompositions.added_by_put, accumulates=True),
    *_rows(MOVES, result.of_masked_scatter,
           "put_", rewrite=decompositions.in_place(decompositions.added_by_put), accumulates=True),
    *_rows(MOVES, result.of_join, "cat concat hstack select_scatter slice_scatter stack vstack"),
    *_rows(MOVES, result.of_keep,
           "atleast_1d atleast_2d atleast_3d channel_shuffle chunk diagonal flip gather im2col index index_select "
           "masked_select narrow pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d "
           "repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d roll rot90 select slice "
           "split split_with_sizes take take_along_dim tile tril triu unbind unfold unsafe_chunk unsafe_split "
           "unsafe_split_with_sizes upsample_nearest1d upsample_nearest2d upsample_nearest3d"),
    *_rows(MOVES, result.of_keep, "embedding", lookup=True),
    *_rows(MOVES, result.of_neg, "neg"),
    *_rows(MOVES, result.of_noise(), "randn_like uniform_", random=True),
    *_rows(MOVES, result.of_noise(), "normal randn", random=True, source=True),
    *_rows(MOVES, result.of_noise(ZERO, ONE), "rand_like", random=True),
    *_rows(MOVES, result.of_noise(ZERO, ONE), "rand", random=True, source=True),
    *_rows(MOVES, result.of_ones, "new_ones ones_like", constant=True),
    *_rows(MOVES, result.of_ones, "ones", constant=True, source=True),
    *_rows(MOVES, result.of_pad, "constant_pad_nd"),
    *_rows(MOVES, result.of_places, "nonzero"),
    *_rows(MOVES, result.of_randint, "randint", random=True, source=True),
    *_rows(MOVES, result.of_random_flags, "bernoulli", random=True),
    *_rows(MOVES, result.of_random_whole, "random_", random=True),
    *_rows(MOVES, result.of_random_whole, "randperm", random=True, source=True),
    *_rows(MOVES, result.of_same,
           "_reshape_alias _unsafe_view adjoint alias alpha_dropout as_strided clone contiguous detach expand_as "
           "feature_dropout lift_fresh lift_fresh_copy mT movedim numpy_T positive real set_data swapaxes t view_as"),
    *_rows(MOVES, result.of_same,
           "expand flatten permute reshape squeeze transpose unflatten unsqueeze view", direct=True),
    *_rows(MOVES, result.of_scatter, "index_copy scatter"),
    *_rows(MOVES, result.of_zeros, "new_zeros zero_ zeros_like"),
    *_rows(MOVES, result.of_zeros, "empty_like new_empty new_empty_strided", random=True),
    *_rows(MOVES, result.of_zeros, "empty empty_permuted empty_strided", random=True, source=True),
    *_rows(MOVES, result.of_zeros, "zeros", source=True),
    # -- other arithmetic, by line
    *_rows("add", result.of_add, "add", direct=True),
    *_rows("add", result.of_rsub, "rsub"),
    *_rows("add", result.of_sub, "sub", direct=True),
    *_rows("mul", result.of_div, "div", direct=True),
    *_rows("mul", result.of_mul, "mul", direct=True),
    *_rows("mask", result.of_bitwise, "bitwise_and bitwise_or bitwise_xor"),
    *_rows("mask", result.of_bitwise_not, "bitwise_not"),
    *_rows("mask", result.of_compare, "logical_and logical_not logical_or logical_xor", direct=True),
    *_rows("mask", result.of_masked_fill, "masked_fill", direct=True),
    *_rows("mask", result.of_where, "where"),
    *_rows("compare", None, "frac"),
    *_rows("compare", result.of_ceil, "ceil"),
    *_rows("compare", result.of_clamp, "clip"),
    *_rows("compare", result.of_clamp, "clamp", direct=True),
    *_rows("compare", result.of_clamp_max, "clamp_max"),
    *_rows("compare", result.of_clamp_min, "clamp_min"),
    *_rows("compare", result.of_compare, "signbit"),
    *_rows("compare", result.of_compare, "eq ge gt le lt ne", direct=True),
    *_rows("compare", result.of_compare, "all any", reduces=True),
    *_rows("compare", result.of_floor, "floor"),
    *_rows("compare", result.of_floor_divide, "floor_divide"),
    *_rows("compare", result.of_hardtanh, "hardtanh"),
    *_rows("compare", result.of_heaviside, "heaviside"),
    *_rows("compare", result.of_keep, "amax amin", reduces=True),
    *_rows("compare", result.of_keep_with_places, "sort topk"),
    *_rows("compare", result.of_maximum, "fmax"),
    *_rows("compare", result.of_maximum, "maximum", direct=True),
    *_rows("compare", result.of_maximum, "max", reduces=True),
    *_rows("compare", result.of_minimum, "fmin"),
    *_rows("compare", result.of_minimum, "minimum", direct=True),
    *_rows("compare", result.of_minimum, "min", reduces=True),
    *_rows("compare", result.of_places, "argmax argmin", reduces=True),
    *_rows("compare", result.of_relu, "relu", direct=True),
    *_rows("compare", result.of_remainder, "remainder"),
    *_rows("compare", result.of_round, "round"),
    *_rows("compare", result.of_sign, "sgn sign"),
    *_rows("compare", result.of_threshold, "threshold"),
    *_rows("compare", result.of_trunc, "fix trunc"),
    *_rows("reduce", result.of_cumsum, "cumsum"),
    *_rows("reduce", result.of_mean, "mean", reduces=True, adds_rows=True, direct=True),
    *_rows("reduce", result.of_scatter, "index_reduce scatter_reduce"),
    *_rows("reduce", result.of_scatter_add, "index_add scatter_add", adds_rows=True),
    *_rows("reduce", result.of_sum, "sum", reduces=True, adds_rows=True, direct=True),
    *_rows("pool", None, "adaptive_avg_pool2d adaptive_avg_pool3d"),
    *_rows("pool", result.of_adaptive_avg_pool,
           "_adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d"),
    *_rows("pool", result.of_avg_pool, "avg_pool1d avg_pool2d avg_pool3d"),
    *_rows("pool", result.of_keep, "max_pool1d max_pool2d max_pool3d"),
    *_rows("pool", result.of_keep_with_places,
           "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d max_pool1d_with_indices "
           "max_pool2d_with_indices max_pool3d_with_indices"),
    *_rows("batch_norm", None,
           "_batch_norm_impl_index _batch_norm_no_update _batch_norm_with_update _native_batch_norm_legit "
           "_native_batch_norm_legit_no_training batch_norm cudnn_batch_norm miopen_batch_norm native_batch_norm"),
    # -- no rule for their work: listed as uncounted
    *_rows(None, None, "logsumexp nansum norm prod std var", reduces=True),
    *_rows(None, result.of_addcmul, "addcmul"),
    *_rows(None, result.of_bitwise,
           "__and__ __or__ __xor__ bincount bitwise_left_shift bitwise_right_shift count_nonzero histc"),
    *_rows(None, result.of_buckets, "bucketize searchsorted"),
    *_rows(None, result.of_compare, "isin"),
    *_rows(None, result.of_copysign, "copysign"),
    *_rows(None, result.of_drawn_places, "multinomial", random=True),
    *_rows(None, result.of_fake_quantised,
           "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams fake_quantize_per_tensor_affine "
           "fake_quantize_per_tensor_affine_cachemask"),
    *_rows(None, result.of_hardshrink, "hardshrink"),
    *_rows(None, result.of_keep,
           "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d diag diag_embed sorted"),
    *_rows(None, result.of_keep_with_places, "cummax cummin kthvalue median mode nanmedian"),
    *_rows(None, result.of_last_places, "argsort"),
    *_rows(None, result.of_lerp, "lerp"),
    *_rows(None, result.of_noise(), "cauchy_ exponential_ log_normal_ rrelu_with_noise", random=True),
    *_rows(None, result.of_pow, "pow"),
    *_rows(None, result.of_randint, "randint_like", random=True),
    *_rows(None, result.of_random_whole, "binomial geometric_ poisson", random=True),
    *_rows(None, result.of_remainder, "fmod"),
    *_rows(None, result.of_same,
           "_coalesce _to_dense _to_sparse _to_sparse_csc _to_sparse_csr coalesce nan_to_num to_dense to_sparse"),
    *_rows(None, result.of_scatter, "index_fill"),
    *_rows(None, result.of_square, "square"),
    *_rows(None, result.of_unit_constant, "eye", constant=True, source=True),
    *_rows(None, result.of_constant_places, "tril_indices triu_indices", source=True),
    *_rows(None, result.of_within(-ONE, ONE), "cos erf sin tanh"),
    *_rows(None, result.of_within(ZERO, None), "exp rsqrt softplus sqrt"),
    *_rows(None, result.of_within(ZERO, ONE), "hardsigmoid sigmoid softmax"),
    *_rows(None, result.of_within(ZERO, ONE), "_safe_softmax _softmax", softmax=True),
]  # fmt: skip

OPERATORS: dict[str, Operator] = dict(_ROWS)
"""All known operators by name."""
assert len(OPERATORS) == len(_ROWS), "an operator is in two rows"

_UNKNOWN = Operator()


def operator(name: str) -> Operator:
    """The operator of a name in aten, without overload; without any property if it is in no row."""
    found = OPERATORS.get(name)
    if found is None and name.endswith("_"):
        found = OPERATORS.get(name.removesuffix("_"))
    return found or _UNKNOWN


def reading(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """An operator's call in the normal form of a contraction; None if it is none, or if it cannot be counted.

    Sparse and opaque operands cannot be counted, since they hold no plain array of values.
    """
    read = operator(name).reading
    form = read(args, kwargs) if read else None
    if form is None:
        return None
    first, second = form.operands
    return form if first.layout is torch.strided is second.layout else None


def decompose(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Computes an operator's result by other operators, which the recorder can count; None if that is impossible.

    Calls on jagged tensors are not decomposed: their class has rules of its own, and would run the same call again.
    """
    if any(isinstance(value, Tensor) and value.layout is torch.jagged for value in args):
        return None
    rewrite = operator(func.overloadpacket.__name__).rewrite
    made = rewrite(*args, **kwargs) if rewrite else func.decompose(*args, **kwargs)
    return None if made is NotImplemented else made


def propagate(
    name: str, facts: list[Facts], args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> tuple[Facts, ...]:
    """Computes the facts of an operator's results: one for each, or one for all.

    Args:
        name: aten operator without namespace and overload.
        facts: facts of its tensor arguments, in order.
        args: positional arguments of the call.
        kwargs: keyword arguments of the call.
        out: its result.
    """
    known = operator(name)
    if known.transfer is None or (not facts and not known.source):
        return (result.of_dtype(merged(facts), out),)
    found = known.transfer(result.Call(facts, args, kwargs, out))
    return found if isinstance(found, tuple) else (result.of_dtype(found, out),)
