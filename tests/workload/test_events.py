"""Event recordings in their on-disk formats, written here byte by byte and read through tonic."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
import torch

from snnprof.errors import SnnprofError
from snnprof.workload.batches import InputSpec, Sampler
from snnprof.workload.sources import open_source

FOUR = InputSpec(shape=(4, 2, 128, 128), events=True, timesteps=4)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def events(count, width=128, height=128, seed=0):
    """x, y, t, p, in order of time."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, width, count), rng.integers(0, height, count),
        np.sort(rng.integers(0, 100_000, count)), rng.integers(0, 2, count),
    )  # fmt: skip


def frames(x, y, p, bins=4, width=128, height=128):
    """Event counts by brute force: bins of equally many events, what is left over dropped."""
    counts = np.zeros((bins, 2, height, width), np.float32)
    share = len(x) // bins
    for i in range(share * bins):
        counts[i // share, p[i], y[i], x[i]] += 1
    return torch.from_numpy(counts)


def dealt(spec, wanted=FOUR, size=16):
    source = open_source(spec, wanted)
    batches = list(source.batches(Sampler(size), lambda number, start: True))
    return source, torch.cat([batch.x for batch in batches]), batches[0].y


# -- the formats -----------------------------------------------------------------------------------------------


def aedat2(path, x, y, t, p):
    """jAER's file: a header of comments, then address and time of each event, big-endian."""
    address = (np.asarray(y) << 8) | (np.asarray(x) << 1) | np.asarray(p)
    rows = np.stack([address, t], 1).astype(">u4")
    path.write_bytes(b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + rows.tobytes())


def aedat4(path, x, y, t, p):
    """DV's file: a flatbuffer that describes the streams, then a flatbuffer a packet, none compressed."""
    description = (
        b'<dv version="2.0"><node name="outInfo"><node name="0"><attr key="typeIdentifier" type="string">EVTS</attr>'
        b'<node name="info"><attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr></node>'
        b"</node></node></dv>"
    )
    # offset of the root, identifier, vtable of three fields of which the third is set, table, string
    header = struct.pack("<I4s5Hxx", 20, b"IOHE", 10, 8, 0, 0, 4) + struct.pack("<iI", 12, 4)
    header += struct.pack("<I", len(description)) + description + b"\0"
    rows = b"".join(struct.pack("<qhh?xxx", *row) for row in zip(t, x, y, p, strict=True))
    packet = struct.pack("<I4s3Hxx", 16, b"EVTS", 6, 8, 4) + struct.pack("<iII", 8, 4, len(x)) + rows
    packet = struct.pack("<I", len(packet)) + packet
    stream = struct.pack("<II", 0, len(packet)) + packet
    path.write_bytes(b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header + stream)


def atis(path, x, y, t, p):
    """N-Caltech101's file: five bytes an event, 23 bits of time, which start anew at an event with y = 240."""
    rows = bytearray()
    for xi, yi, ti, pi in zip(x, y, t, p, strict=True):
        rows += bytes([xi, yi, (int(pi) << 7) | (int(ti) >> 16) & 127, (int(ti) >> 8) & 255, int(ti) & 255])
    path.write_bytes(bytes(rows))


def write(folder, place, name, writer, *recording):
    (folder / place).mkdir(parents=True, exist_ok=True)
    writer(folder / place / name, *recording)


# -- the data sets ---------------------------------------------------------------------------------------------


@pytest.fixture
def tonic():
    return pytest.importorskip("tonic")


def test_cifar10_dvs_as_its_authors_store_it(tonic, tmp_path):
    recordings = {}
    for label, name in enumerate(CLASSES):
        recordings[label] = events(403, seed=label)
        write(tmp_path, name, f"cifar10_{name}_0.aedat", aedat2, *recordings[label])
    source, x, y = dealt(f"cifar10-dvs:{tmp_path}")
    for label, (column, row, _, polarity) in recordings.items():
        assert x[label].equal(frames(127 - row, 127 - column, 1 - polarity))  # as SpikingJelly reads them
    assert y.tolist() == list(range(10))
    note = source.facts.note
    assert "4 bins of equally many events" in note
    assert "one channel for OFF events and one for ON events" in note
    assert "not resized" in note
    assert f"{float(x.mean()):.3g} events per bin on average and {int(x.max())} at most" in note
    assert source.facts.shape == [4, 2, 128, 128]


def test_cifar10_dvs_as_tonic_stores_it(tonic, tmp_path):
    pytest.importorskip("aedat")
    recording = events(402)
    write(tmp_path, "CIFAR10DVS/frog", "frog_1.aedat4", aedat4, *recording)
    _, x, y = dealt(f"cifar10-dvs:{tmp_path}")
    assert x[0].equal(frames(recording[0], recording[1], recording[3]))
    assert y.tolist() == [0]


def test_the_last_tenth_of_each_class_is_the_test_split(tonic, tmp_path):
    for i in range(20):
        write(tmp_path, "frog", f"frog_{i:02}.aedat", aedat2, *events(40, seed=i))
    source, x, _ = dealt(f"cifar10-dvs:{tmp_path}")
    assert len(x) == source.facts.total == 2
    column, row, _, polarity = events(40, seed=18)
    assert x[0].equal(frames(127 - row, 127 - column, 1 - polarity))
    assert "no official test split" in source.facts.note


@pytest.mark.parametrize("place", ["", "ibmGestureTest", "DVSGesture/ibmGestureTest"])
def test_dvs128_gesture(tonic, tmp_path, place):
    recordings = {7: events(404, seed=1), 10: events(301, seed=2)}
    for label, (x, y, t, p) in recordings.items():
        write(
            tmp_path,
            f"{place}/user24_led".lstrip("/"),
            f"{label}.npy",
            np.save,
            np.stack([x, y, p, t // 1000], 1).astype(float),
        )
    source, x, y = dealt(f"dvs128-gesture:{tmp_path}", InputSpec(shape=(4, 2, 128, 128), events=True, classes=11))
    assert y.tolist() == [10, 7]
    for i, label in enumerate((10, 7)):
        column, row, _, polarity = recordings[label]
        assert x[i].equal(frames(column, row, polarity))
    assert "test split (users 24 to 29)" in source.facts.note


def test_n_caltech101_is_resized_to_the_model(tonic, tmp_path):
    x, y, t, p = events(408, 240, 180)
    x, y, t, p = (np.insert(a, 200, v) for a, v in ((x, 0), (y, 240), (t, 0), (p, 0)))  # time starts anew
    write(tmp_path, "Caltech101/crab", "image_0001.bin", atis, x, y, t, p)
    real = np.delete(np.arange(409), 200)
    expected = frames(x[real], y[real], p[real], width=240, height=180)
    source, native, _ = dealt(f"n-caltech101:{tmp_path}", InputSpec(timesteps=4))
    assert native[0].equal(expected)
    source, resized, _ = dealt(f"n-caltech101:{tmp_path}")
    assert resized[0].equal(torch.nn.functional.interpolate(expected, (128, 128), mode="bilinear"))
    assert "180 × 240 resized to 128 × 128 (bilinear), so values are real" in source.facts.note


def test_normalised_frames_are_said_to_be_real(tonic, tmp_path):
    recording = events(400)
    write(tmp_path, "frog", "frog_0.aedat", aedat2, *recording)
    plain = dealt(f"cifar10-dvs:{tmp_path}")[1]
    wanted = InputSpec(shape=(4, 2, 128, 128), events=True, mean=(0.5, 0.25), std=(2.0, 4.0))
    source, x, _ = dealt(f"cifar10-dvs:{tmp_path}", wanted)
    torch.testing.assert_close(x[:, :, 1], (plain[:, :, 1] - 0.25) / 4)
    assert "normalised as in training, so values are real" in source.facts.note


def test_classes_that_are_not_the_model_s_are_not_believed(tonic, tmp_path):
    write(tmp_path, "frog", "frog_0.aedat", aedat2, *events(40))
    source, _, y = dealt(f"cifar10-dvs:{tmp_path}", InputSpec(shape=(4, 2, 128, 128), classes=10))
    assert y is None
    assert "no accuracy: 1 class folders for a model of 10 classes" in source.facts.note


# -- what is not in order --------------------------------------------------------------------------------------


def _cut(path, last):
    path.write_bytes(path.read_bytes()[:-last])


def test_damaged_recordings_are_named(tonic, tmp_path):
    path = tmp_path / "frog" / "frog_0.aedat"
    write(tmp_path, "frog", path.name, aedat2, *events(40))
    _cut(path, 3)
    with pytest.raises(SnnprofError, match=r"frog_0\.aedat is cut off"):
        dealt(f"cifar10-dvs:{tmp_path}")
    path.write_bytes(b"no recording at all")
    with pytest.raises(SnnprofError, match=r"frog_0\.aedat is not a readable recording"):
        dealt(f"cifar10-dvs:{tmp_path}")
    write(tmp_path, "frog", path.name, aedat2, *events(3))
    with pytest.raises(SnnprofError, match="holds 3 events, too few for 4 bins"):
        dealt(f"cifar10-dvs:{tmp_path}")


def test_a_damaged_aedat4_file(tonic, tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "frog" / "frog_0.aedat4"
    write(tmp_path, "frog", path.name, aedat4, *events(40))
    _cut(path, 5)
    with pytest.raises(SnnprofError, match=r"frog_0\.aedat4 is not a readable recording"):
        dealt(f"cifar10-dvs:{tmp_path}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 3)), "not a recording of DVS128-Gesture"),
        (np.full((9, 4), np.nan), "not a recording of DVS128-Gesture"),
        (np.full((9, 4), 128.0), "events that are not on 128 × 128 pixels"),
        (np.full((9, 4), -1.0), "events that are not on 128 × 128 pixels"),
        (np.array([print]), "not a readable recording"),
    ],
)
def test_damaged_gestures(tonic, tmp_path, array, message):
    write(tmp_path, "user24_led", "0.npy", np.save, array)
    with pytest.raises(SnnprofError, match=message):
        dealt(f"dvs128-gesture:{tmp_path}")


def test_a_cut_n_caltech101_file(tonic, tmp_path):
    write(tmp_path, "crab", "image_0001.bin", atis, *events(40, 240, 180))
    _cut(tmp_path / "crab" / "image_0001.bin", 2)
    with pytest.raises(SnnprofError, match="is cut off"):
        dealt(f"n-caltech101:{tmp_path}")


@pytest.mark.parametrize("name", ["cifar10-dvs", "dvs128-gesture", "n-caltech101"])
def test_where_to_get_it(tmp_path, name):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SnnprofError, match=f"there is no {name} in") as caught:
            open_source(f"{name}:{folder}", FOUR)
        assert "DIR/" in caught.value.hint
    assert list(tmp_path.iterdir()) == []  # and nothing was fetched


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(InputSpec(shape=(3, 32, 32)), "this model takes"), (InputSpec(), "needs the number of time steps")],
)
def test_models_that_take_no_event_frames(tmp_path, wanted, message):
    with pytest.raises(SnnprofError, match=message):
        open_source(f"cifar10-dvs:{tmp_path}", wanted)


def test_without_tonic(tmp_path, monkeypatch):
    write(tmp_path, "frog", "frog_0.aedat", aedat2, *events(40))
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(SnnprofError, match="event data needs tonic") as caught:
        open_source(f"cifar10-dvs:{tmp_path}", FOUR)
    assert "snnprof[events]" in caught.value.hint
