"""Data sources: what they deal out, in which order, and what they say of files that are not in order."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from snnprof.errors import SnnprofError
from snnprof.workload import inputs
from snnprof.workload.batches import InputSpec, Sampler, array_facts, batch_axis
from snnprof.workload.iterable_dataset import IterableDataset
from snnprof.workload.lazy_dataset import LazyDataset
from snnprof.workload.map_dataset import TensorDataset
from snnprof.workload.sources import open_source

EVERYTHING = lambda number, start: True  # noqa: E731
IMAGES = InputSpec(shape=(1, 6, 6))


def dealt(source, size=4, samples=None, seed=None, needed=EVERYTHING):
    return list(source.batches(Sampler(size, samples, seed), needed))


def numbers(count=10):
    """Samples that hold their own position."""
    x = torch.arange(count).float().view(-1, 1)
    return TensorDataset(array_facts("numbers", "array", x), InputSpec(), x, torch.arange(count))


# -- the order -------------------------------------------------------------------------------------------------


def test_batches_in_the_stored_order():
    batches = dealt(numbers())
    assert [(b.start, b.stop) for b in batches] == [(0, 4), (4, 8), (8, 10)]
    assert torch.cat([b.y for b in batches]).tolist() == list(range(10))


def test_a_seed_permutes_and_a_part_is_the_beginning_of_the_whole():
    whole = torch.cat([b.y for b in dealt(numbers(), seed=3)]).tolist()
    part = torch.cat([b.y for b in dealt(numbers(), samples=7, seed=3)]).tolist()
    assert sorted(whole) == list(range(10)) != whole
    assert part == whole[:7]
    assert torch.cat([b.y for b in dealt(numbers(), seed=4)]).tolist() != whole


def test_only_needed_batches_are_read():
    read = []

    def load(position):
        read.append(position)
        return torch.zeros(2), 0

    source = LazyDataset(array_facts("x", "array", torch.zeros(10, 2)), InputSpec(), load)
    batches = dealt(source, needed=lambda number, start: number == 1 or start == 8)
    assert [b.x is None for b in batches] == [True, False, False]
    assert sorted(read) == [4, 5, 6, 7, 8, 9]


def test_samples_are_read_ahead_by_one_batch_only():
    read = []
    source = LazyDataset(
        array_facts("x", "array", torch.zeros(100, 2)), InputSpec(), lambda i: (read.append(i), (torch.zeros(2), 0))[1]
    )
    batches = source.batches(Sampler(5), EVERYTHING)
    next(batches)
    assert len(read) <= 10
    batches.close()
    assert len(read) <= 10


def test_a_sample_that_cannot_be_read_is_named():
    facts = array_facts("pictures", "image", torch.zeros(3, 2))
    with pytest.raises(SnnprofError, match="sample 0 of pictures cannot be read: OSError: gone"):
        dealt(LazyDataset(facts, InputSpec(), _gone))
    shapes = LazyDataset(facts, InputSpec(), lambda i: (torch.zeros(i + 1), 0))
    with pytest.raises(SnnprofError, match="differ in shape"):
        dealt(shapes)


def test_a_data_set_that_cannot_count_itself_is_named(tmp_path):
    (tmp_path / "sets.py").write_text(
        "from torch.utils.data import Dataset\n"
        "class Set(Dataset):\n"
        "    def __len__(self): return len(open('labels.csv').read())\n"
        "    def __getitem__(self, position): return position\n"
    )
    with pytest.raises(SnnprofError, match=r"sets\.py:Set failed: FileNotFoundError: .*'labels.csv'"):
        open_source(f"{tmp_path / 'sets.py'}:Set", InputSpec())


def _gone(position):
    raise OSError("gone")


@pytest.mark.parametrize(
    ("layout", "shape", "axis"),
    [
        ("batch", (4, 2), 0),
        ("batch-time", (4, 2, 3), 0),
        ("time-batch", (2, 4, 3), 1),
        ("step", (2, 4, 3), 1),
        ("step", (4, 3), 0),
    ],
)
def test_which_axis_counts_samples(layout, shape, axis):
    assert batch_axis(torch.zeros(shape), layout, 2) == axis


STEPS = InputSpec(layout="step", timesteps=3)


@pytest.mark.parametrize(
    ("sample", "note"),
    [
        ((3, 4), "each sample is 3 frames [4], one for each time step"),
        ((3, 2, 5), "each sample is 3 frames [2, 5], one for each time step"),
        ((2, 5), "each sample is shown 3 times"),
        ((3,), "each sample is shown 3 times"),
    ],
)
@pytest.mark.parametrize("count", [1, 3, 4])
def test_layout_step_gives_frames_or_the_same_picture_t_times(tmp_path, sample, note, count):
    """However many samples a batch happens to hold, three as there are steps among them."""
    x = np.arange(count * np.prod(sample), dtype=np.float32).reshape(count, *sample)
    source = open_source(saved(tmp_path / "a.npz", x=x), STEPS)
    (batch,) = dealt(source, size=count)
    expected = np.moveaxis(x, 1, 0) if "frames" in note else np.stack([x] * 3)
    np.testing.assert_array_equal(batch.x, expected)
    assert source.facts.note == note
    assert source.facts.shape == list(sample)


def test_a_last_batch_of_as_many_pictures_as_steps_is_no_sequence():
    x = torch.rand(7, 2, 5)
    batches = dealt(IterableDataset([(x[:4], None), (x[4:], None)], "mine", "step", 3))
    assert [(b.stop - b.start, tuple(b.x.shape)) for b in batches] == [(4, (3, 4, 2, 5)), (3, (3, 3, 2, 5))]
    assert batches[1].x.equal(torch.stack([x[4:]] * 3))


# -- the user's own --------------------------------------------------------------------------------------------


def test_an_iterable_is_cut_along_its_samples():
    source = IterableDataset([(torch.ones(2, 4, 3), torch.arange(4))] * 3, "mine", "time-batch", None)
    batches = dealt(source, samples=6)
    assert [(b.start, b.stop, tuple(b.x.shape), len(b.y)) for b in batches] == [
        (0, 4, (2, 4, 3), 4),
        (4, 6, (2, 2, 3), 2),
    ]
    assert source.facts.shape == [2, 3]
    assert "in the order of the iterable" in source.facts.note


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([object()], "must be a tensor or numbers, not object"),
        ([torch.zeros(0, 3)], "batch 0 of mine holds no sample"),
        ([torch.tensor(1.0)], "holds no sample"),
        ((1 / 0 for _ in range(2)), "mine failed while it made a batch: ZeroDivisionError"),
    ],
)
def test_iterables_that_are_not_in_order(items, message):
    with pytest.raises(SnnprofError, match=message):
        dealt(IterableDataset(items, "mine", "batch", None))


DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset
SET = TensorDataset(torch.arange(9.).view(-1, 1), torch.arange(9))
def loader(): return DataLoader(SET, batch_size=2)
def data_set(): return SET
def tensor(): return torch.zeros(3, 2)
def number(): return 7
def fails(): raise RuntimeError("no disk")
def empty(): return TensorDataset(torch.zeros(0, 1))
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "data.py").write_text(DATA)
    return lambda name: open_source(f"{tmp_path / 'data.py'}:{name}", InputSpec())


def test_functions(own):
    assert [len(b.y) for b in dealt(own("loader"))] == [2, 2, 2, 2, 1]
    assert own("loader").facts.total == 9
    assert dealt(own("tensor"))[0].x.shape == (3, 2)
    assert not own("loader").ordered


def test_a_data_set_of_samples_is_batched_and_permuted(own):
    source = own("data_set")
    batches = dealt(source, seed=1)
    assert sorted(torch.cat([b.y for b in batches]).tolist()) == list(range(9))
    assert torch.cat([b.x for b in batches]).view(-1).tolist() == torch.cat([b.y for b in batches]).tolist()
    assert (source.ordered, source.facts.total, source.facts.shape) == (True, 9, [1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "returned int, not an iterable"),
        ("fails", "failed: RuntimeError: no disk"),
        ("empty", "an empty data set"),
        ("loadr", "has no 'loadr'"),
    ],
)
def test_functions_that_are_not_in_order(own, name, message):
    with pytest.raises(SnnprofError, match=message):
        own(name)


# -- random, digits, and names ---------------------------------------------------------------------------------


def test_random_samples_depend_on_their_position_alone():
    whole = torch.cat([b.x for b in dealt(open_source("random", IMAGES, 10))])
    assert torch.cat([b.x for b in dealt(open_source("random", IMAGES, 10), size=3)]).equal(whole)
    assert len({tuple(x.flatten().tolist()) for x in whole}) == 10
    events = torch.cat([b.x for b in dealt(open_source("random", InputSpec(shape=(4, 2, 8, 8), events=True), 20))])
    assert set(events.unique().tolist()) == {0.0, 1.0}
    assert abs(float(events.mean()) - 0.05) < 0.01


def test_digits():
    source = open_source("digits", InputSpec(shape=(3, 16, 16)))
    assert (source.facts.total, source.facts.shape) == (360, [3, 16, 16])
    for wanted, message in [((4, 2, 8, 8), "event frames"), ((1, 8, 9), "square")]:
        with pytest.raises(SnnprofError, match=message):
            open_source("digits", InputSpec(shape=wanted))


def test_time_is_put_where_the_layout_wants_it():
    wanted = InputSpec(shape=(2, 3), layout="time-batch")
    assert dealt(open_source("random", wanted, 5), size=5)[0].x.shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "unknown data source 'digit'"),
        ("imagefolder", "needs a folder"),
        ("missing.npz", "there is no data file missing.npz"),
        ("missing.py:f", "there is no file missing.py"),
    ],
)
def test_names(spec, message):
    with pytest.raises(SnnprofError, match=message):
        open_source(spec, IMAGES)


# -- files of arrays -------------------------------------------------------------------------------------------


def saved(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **{name: np.asarray(a) for name, a in arrays.items()})
    else:
        torch.save({name: torch.as_tensor(a) for name, a in arrays.items()}, path)
    return str(path)


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
@pytest.mark.parametrize("dtype", ["uint8", "float64", "int32", "bool", "float16"])
def test_any_real_numbers_become_float(tmp_path, name, dtype):
    x = np.array([[0, 1], [1, 1], [0, 0]], dtype=dtype)
    source = open_source(saved(tmp_path / name, x=x, y=[2, 0, 1]), InputSpec(classes=3))
    (batch,) = dealt(source)
    assert batch.x.dtype is torch.float32
    assert batch.x.tolist() == x.astype(float).tolist()
    assert batch.y.tolist() == [2, 0, 1]


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
def test_labels_may_be_missing(tmp_path, name):
    (batch,) = dealt(open_source(saved(tmp_path / name, x=np.ones((2, 3))), InputSpec()))
    assert batch.y is None


X = np.ones((3, 2), dtype=np.float32)


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": X}, "holds no (array|tensor) 'x'; it holds 'pictures'"),
        ({"x": np.float32(1)}, r"must be \[samples, ...\], not \[\]"),
        ({"x": X[:0]}, r"must be \[samples, ...\]"),
        ({"x": np.where([[1, 0], [0, 0], [0, 1]], np.nan, X)}, "2 of the 3 samples in 'x' hold NaN"),
        ({"x": X * 1j}, "real numbers"),
        ({"x": X, "y": [1, 2]}, "2 labels for 3 samples"),
        ({"x": X, "y": [0.5, 1, 2]}, "one whole number for each sample"),
        ({"x": X, "y": [[1, 1], [1, 0], [0, 0]]}, "one whole number for each sample"),
        ({"x": X, "y": [1, 2, 3]}, "labels run from 1 to 3"),
        ({"x": X, "y": [-1, 2, 0]}, "labels run from -1 to 2"),
    ],
)
def test_arrays_that_are_not_in_order(tmp_path, name, arrays, message):
    with pytest.raises(SnnprofError, match=message):
        open_source(saved(tmp_path / name, **arrays), InputSpec(classes=3))


def _quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(4, 3), 0.1, 0, torch.quint8)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (lambda: torch.zeros(4, 3, device="meta"), "a shape without content"),
        (lambda: torch.eye(3).to_sparse(), "torch.sparse_coo"),
        (_quantised, "torch.quint8"),
    ],
    ids=("meta", "sparse", "quantised"),
)
def test_tensors_without_plain_numbers(tmp_path, odd, said, recwarn):
    torch.save({"x": odd()}, tmp_path / "a.pt")
    recwarn.clear()
    with pytest.raises(SnnprofError, match=f"must be a plain dense array of real numbers, not {said}"):
        open_source(str(tmp_path / "a.pt"), InputSpec())
    assert not recwarn.list


ODD_SETS = """
import torch
from torch.utils.data import Dataset

class Set(Dataset):
    def __len__(self): return 2
    def __getitem__(self, position): return self.made(position)

class Words(Set):
    def made(self, position): return torch.zeros(2), "cat"

class OneHot(Set):
    def made(self, position): return torch.zeros(2), torch.eye(2)[position]

class Ragged(Set):
    def made(self, position): return torch.zeros(2), torch.zeros(position)

def meta(): yield torch.zeros(2, 2, device="meta")
def sparse(): yield torch.eye(2).to_sparse()
def words(): yield torch.zeros(2, 2), ["cat", "dog"]

class Locked:
    def __iter__(self): raise PermissionError("locked")
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Words", "the label of sample 0 of .* must be a tensor or numbers, not str"),
        ("Ragged", "differ in shape"),
        ("meta", r"a batch of the data must be a plain dense tensor .*, not a shape without content"),
        ("sparse", r"must be a plain dense tensor of real numbers, not torch\.sparse_coo"),
        ("words", "the labels of a batch must be a tensor or numbers, not list"),
        ("Locked", "failed while it made a batch: PermissionError: locked"),
    ],
)
def test_what_a_users_function_may_not_give(tmp_path, name, said):
    (tmp_path / "sets.py").write_text(ODD_SETS)
    with pytest.raises(SnnprofError, match=said):
        dealt(open_source(f"{tmp_path / 'sets.py'}:{name}", InputSpec(layout="batch")))


def test_labels_of_several_numbers_are_kept(tmp_path):
    (tmp_path / "sets.py").write_text(ODD_SETS)
    (batch,) = dealt(open_source(f"{tmp_path / 'sets.py'}:OneHot", InputSpec()))
    assert batch.y.tolist() == [[1, 0], [0, 1]]


def test_text_is_no_array(tmp_path):
    with pytest.raises(SnnprofError, match="must hold numbers"):
        open_source(saved(tmp_path / "a.npz", x=np.array([["a"], ["b"]])), InputSpec())


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_truncated_files(tmp_path, name, share):
    path = tmp_path / name
    saved(path, x=np.random.default_rng(0).random((50, 7)))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SnnprofError, match="is not a readable"):
        open_source(str(path), InputSpec())


def test_a_header_that_claims_too_much(tmp_path):
    saved(tmp_path / "a.npz", x=np.zeros((1000, 10), dtype=np.float32))
    content = (tmp_path / "a.npz").read_bytes()
    huge = content.replace(b"'shape': (1000, 10), }            ", b"'shape': (100000000000000, 10), } ")
    assert huge != content
    (tmp_path / "a.npz").write_bytes(huge)
    with pytest.raises(SnnprofError, match="is not a readable"):
        open_source(str(tmp_path / "a.npz"), InputSpec())


def test_pickles_are_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([print, print], dtype=object))
    torch.save({"x": print}, tmp_path / "a.pt")
    for name in ("a.npz", "a.pt"):
        with pytest.raises(SnnprofError, match="is not a readable"):
            open_source(str(tmp_path / name), InputSpec())


def test_a_loader_of_a_list_is_the_same_as_its_tensors(tmp_path):
    loader = DataLoader(torch.utils.data.TensorDataset(torch.arange(6.0).view(-1, 1)), batch_size=4)
    batches = dealt(IterableDataset(loader, "mine", "batch", None))
    assert [b.x.view(-1).tolist() for b in batches] == [[0, 1, 2, 3], [4, 5]]


# -- files as people have them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [[[2], [0], [1]], np.eye(3)[[2, 0, 1]], [2.0, 0.0, 1.0], np.array([2, 0, 1], ">i8")])
@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_labels_in_other_forms(tmp_path, name, y):
    (batch,) = dealt(open_source(written(tmp_path / name, x=X, y=y), InputSpec(classes=3)))
    assert batch.y.tolist() == [2, 0, 1]


@pytest.mark.parametrize("names", [("x_test", "y_test"), ("test_images", "test_labels"), ("data", "label"), ("X", "y")])
@pytest.mark.parametrize("name", ["a.npz", "a.pt", "a.h5"])
def test_other_names_of_arrays(tmp_path, name, names):
    x, y = names
    source = open_source(written(tmp_path / name, **{"x_train": 2 * X[:1], x: X, y: [2, 0, 1]}), InputSpec())
    assert source.facts.note == f"samples from {x!r}, labels from {y!r}"
    assert dealt(source)[0].y.tolist() == [2, 0, 1]


def written(path, **arrays):
    if path.suffix != ".h5":
        return saved(path, **arrays)
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = np.asarray(array)
    return str(path)


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", X)
    source = open_source(str(tmp_path / "a.npy"), InputSpec())
    assert dealt(source)[0].x.tolist() == X.tolist()
    assert source.facts.note == "a .npy file has no labels"


def test_hdf5_without_h5py(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SnnprofError, match="needs the h5py package") as caught:
        open_source(str(tmp_path / "a.h5"), InputSpec())
    assert caught.value.hint == "pip install h5py"


@pytest.mark.parametrize(("name", "said"), [("a.h5", "is not a readable HDF5 file"), ("a.npy", "not a readable .npy")])
def test_damaged_arrays(tmp_path, name, said):
    pytest.importorskip("h5py")
    (tmp_path / name).write_bytes(b"no array")
    with pytest.raises(SnnprofError, match=said):
        open_source(str(tmp_path / name), InputSpec())


@pytest.mark.parametrize(
    ("text", "x", "y"),
    [
        ("a,b,label\n1,2,0\n3,4,1\n", [[1, 2], [3, 4]], [0, 1]),
        ("Class;a;b\n0;1;2\n1;3;4\n", [[1, 2], [3, 4]], [0, 1]),
        ("1\t2\n3\t4\n", [[1, 2], [3, 4]], None),
        ("a,b\n1,2.5\n3,4\n", [[1, 2.5], [3, 4]], None),
    ],
)
def test_csv(tmp_path, text, x, y):
    (tmp_path / "a.csv").write_text(text)
    source = open_source(str(tmp_path / "a.csv"), InputSpec(shape=(2,)))
    (batch,) = dealt(source)
    assert batch.x.tolist() == x
    assert (None if batch.y is None else batch.y.tolist()) == y
    assert ("labels from column" if y else "each column is part of x") in source.facts.note


def test_csv_rows_take_the_shape_of_the_model(tmp_path):
    (tmp_path / "a.csv").write_text("p,q,r,s,label\n1,2,3,4,0\n")
    source = open_source(str(tmp_path / "a.csv"), InputSpec(shape=(1, 2, 2)))
    assert dealt(source)[0].x.tolist() == [[[[1, 2], [3, 4]]]]
    with pytest.raises(SnnprofError, match=r"a sample has 4 numbers, and this model takes \[1, 3, 3\], which is 9"):
        open_source(str(tmp_path / "a.csv"), InputSpec(shape=(1, 3, 3)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,cat\n", "column 'b' holds text, not numbers"),
        ("a,b\n1,\n", "1 of the 1 samples in 'x' hold NaN"),
        ("a,b\n", r"column 'a' holds text, not numbers|must be \[samples"),
        ("", "is not a readable table"),
        ("a,b\n1,2,3,4\n1,2\n", "is not a readable table|hold NaN"),
    ],
)
def test_csv_that_is_not_in_order(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SnnprofError, match=said):
        open_source(str(tmp_path / "a.csv"), InputSpec())


IDS = np.array([[3, 7], [0, 19], [5, 5]])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint16"])
def test_token_ids_of_an_embedding_stay_whole_numbers(tmp_path, dtype):
    source = open_source(saved(tmp_path / "a.npz", x=IDS.astype(dtype)), InputSpec(tokens=20))
    (batch,) = dealt(source)
    assert batch.x.dtype is torch.int64
    assert batch.x.tolist() == IDS.tolist()
    assert "go to the embedding unchanged" in source.facts.note


@pytest.mark.parametrize(
    ("x", "tokens"), [(IDS, None), (IDS, 19), (-IDS, 20), (IDS.astype(float), 20), (IDS[:, :, None], 20)]
)
def test_all_other_whole_numbers_of_a_file_become_real(tmp_path, x, tokens):
    (batch,) = dealt(open_source(saved(tmp_path / "a.npz", x=x), InputSpec(tokens=tokens)))
    assert batch.x.dtype is torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_real_numbers_of_a_file_take_the_format_of_the_model(tmp_path, dtype):
    x = np.random.default_rng(0).random((3, 2))
    (batch,) = dealt(open_source(saved(tmp_path / "a.npz", x=x), InputSpec(dtype=dtype)))
    assert batch.x.equal(torch.tensor(x).to(dtype))


def test_big_endian_arrays(tmp_path):
    source = open_source(saved(tmp_path / "a.npz", x=X.astype(">f4"), y=np.array([0, 1, 2], ">i4")), InputSpec())
    assert dealt(source)[0].x.tolist() == X.tolist()
    assert source.facts.note == "big-endian numbers of the file are converted"


# -- iterables as people have them -----------------------------------------------------------------------------

A, B, LABELS = torch.rand(6, 4), torch.rand(6, 2), torch.arange(6)


@pytest.mark.parametrize(
    ("item", "x", "labelled"),
    [
        (((A, B), LABELS), (A, B), True),
        (([A, B], LABELS), (A, B), True),
        (({"a": A, "b": B}, LABELS), {"a": A, "b": B}, True),
        ({"a": A, "b": B, "label": LABELS}, {"a": A, "b": B}, True),
        ({"a": A, "b": B}, {"a": A, "b": B}, False),
        ((A, LABELS, B), A, True),
        (([A.numpy(), B.numpy()], LABELS), (A, B), True),
        (([A[0].numpy(), A[1].numpy()], LABELS[:2]), A[:2], True),  # samples of one shape are a batch
        ((A.numpy()[::-1], LABELS.numpy()[::-1]), A.flip(0), True),
    ],
)
def test_what_a_batch_may_be(item, x, labelled):
    (batch,) = dealt(IterableDataset([item], "mine", "batch", None))
    assert type(batch.x) is type(x)
    assert all(map(torch.equal, inputs.tensors(batch.x), inputs.tensors(x)))
    assert (batch.y is not None) == labelled


def test_several_inputs_are_cut_along_their_samples():
    shared = torch.eye(3)  # belongs to no sample
    batches = dealt(IterableDataset([((A, B, shared), LABELS)] * 2, "mine", "batch", None), samples=8)
    assert [[len(tensor) for tensor in batch.x] for batch in batches] == [[6, 6, 3], [2, 2, 3]]
    assert len(batches[1].y) == 2


def test_the_note_says_how_batches_were_read():
    source = IterableDataset([((A.numpy().astype(">f4"), B), LABELS, 1)], "mine", "batch", None)
    dealt(source)
    assert source.facts.note == (
        "the model takes 2 inputs: [6, 4], [6, 2]; a batch has 3 entries: the first is x, the second the labels, "
        "others are left out; big-endian numbers are converted"
    )


def test_more_samples_than_an_iterable_said():
    source = IterableDataset([(A, LABELS)] * 2, "mine", "batch", None, total=8)
    assert sum(batch.stop - batch.start for batch in dealt(source)) == 12
    assert source.facts.total is None
    assert source.facts.note == "the iterable gave more samples than the 8 that its length says"


MORE_SETS = """
import torch
from torch.utils.data import Dataset, IterableDataset

class Iterated(IterableDataset):
    def __len__(self): return 3
    def __iter__(self): yield torch.zeros(3, 2), torch.arange(3)

class Pairs(Dataset):
    def __len__(self): return 3
    def __getitem__(self, i): return (torch.full((2,), float(i)), torch.full((4,), float(i))), i

class Named(Dataset):
    def __len__(self): return 3
    def __getitem__(self, i): return {"a": torch.full((2,), float(i)), "b": torch.full((4,), float(i)), "label": i}
"""


def test_an_iterable_data_set_with_a_length_is_iterated_over(tmp_path):
    (tmp_path / "more.py").write_text(MORE_SETS)
    source = open_source(f"{tmp_path / 'more.py'}:Iterated", InputSpec())
    assert dealt(source)[0].x.shape == (3, 2)
    assert not source.ordered


@pytest.mark.parametrize("name", ["Pairs", "Named"])
def test_data_sets_of_several_inputs(tmp_path, name):
    (tmp_path / "more.py").write_text(MORE_SETS)
    first, second = dealt(open_source(f"{tmp_path / 'more.py'}:{name}", InputSpec()), size=2)
    assert [tuple(tensor.shape) for tensor in inputs.tensors(first.x)] == [(2, 2), (2, 4)]
    assert isinstance(second.x, dict) == (name == "Named")
    assert inputs.first(second.x).tolist() == [[2.0, 2.0]]
    assert first.y.tolist() == [0, 1]
