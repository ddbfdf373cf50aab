"""How input goes wrong: bytes that are cut, flipped and repeated, data of the wrong type, size and depth."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

Damage = Callable[[random.Random, bytes], bytes]

STRANGE_TEXTS = (
    "", " ", "\n", "–", "💥" * 40, "a" * 100_000, "../../../../etc/passwd", "%s%n%x", "{0.__class__}",
    "$(touch canary)", "`touch canary`", "; touch canary", "<script>alert(1)</script>", "[red]", "[/]", "\x1b[2J",
    "\\input{/etc/passwd}", "\u202e\u0000", "'\"", "a\tb|c&d_e%f#g~h^i", "nan", "-0", "1e999", "0x10",
    "null", "\ud800", "*" * 60, "(" * 60,
)  # fmt: skip
STRANGE_NUMBERS = (
    0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


def deep(levels: int, *, mapping: bool = False) -> Any:
    """A list in a list in a list …, or a mapping in a mapping."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if mapping else [value]
    return value


def strange_value(rng: random.Random) -> Any:
    kinds = (
        lambda: rng.choice(STRANGE_TEXTS),
        lambda: rng.choice(STRANGE_NUMBERS),
        lambda: rng.choice((None, True, False, [], {}, [[]], [None], {"": None})),
        lambda: deep(rng.choice((3, 40, 300)), mapping=rng.random() < 0.5),
        lambda: [rng.choice(STRANGE_NUMBERS)] * rng.choice((1, 7, 5000)),
    )
    return rng.choice(kinds)()


def damaged_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Cut, flipped, overwritten, repeated, shortened or lengthened somewhere; sometimes more than once."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        raw = rng.choice(_BYTE_DAMAGE)(rng, raw)
    return raw


def _cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _without_start(rng: random.Random, raw: bytes) -> bytes:
    return raw[rng.randrange(len(raw) + 1) :]


def _flipped(rng: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 4, 32)) if raw else 0):
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwritten(rng: random.Random, raw: bytes) -> bytes:
    start = rng.randrange(len(raw) + 1)
    noise = rng.choice((rng.randbytes(8), b"\x00" * 8, b"\xff" * 8, b"\xef\xbb\xbf", b"\n", b"9" * 400))
    return raw[:start] + noise + raw[start + len(noise) :]


def _inserted(rng: random.Random, raw: bytes) -> bytes:
    start = rng.randrange(len(raw) + 1)
    return raw[:start] + rng.choice((rng.randbytes(3), b"{", b"]", b"\x00", b"-", b"e9", b'"')) + raw[start:]


def _repeated(rng: random.Random, raw: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
    return raw[:end] + raw[start:]


def _without_middle(rng: random.Random, raw: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
    return raw[:start] + raw[end:]


_BYTE_DAMAGE: tuple[Damage, ...] = (
    _cut, _without_start, _flipped, _flipped, _overwritten, _inserted, _repeated, _without_middle
)  # fmt: skip


def damaged_tree(rng: random.Random, tree: Any) -> Any:
    """The same data with a few values replaced, removed, renamed, doubled, or nudged."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(tree))
        if places:
            rng.choice(_TREE_DAMAGE)(rng, *rng.choice(places))
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container in the tree with every key or position in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        found += [(node, key) for key, _ in items]
        waiting += [child for _, child in items if isinstance(child, (dict, list)) and child]
    return found


def _replace(rng: random.Random, node: Any, key: Any) -> None:
    node[key] = strange_value(rng)


def _remove(rng: random.Random, node: Any, key: Any) -> None:
    del node[key]


def _rename(rng: random.Random, node: Any, key: Any) -> None:
    if isinstance(node, dict):
        node[rng.choice(STRANGE_TEXTS)] = node.pop(key)


def _double(rng: random.Random, node: Any, key: Any) -> None:
    if isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    else:
        node[f"{key}2"] = copy.deepcopy(node[key])


def _nudge(rng: random.Random, node: Any, key: Any) -> None:
    if isinstance(node[key], (int, float)):
        node[key] = rng.choice((node[key] + 1, -node[key], node[key] * 10**20, str(node[key]), node[key] * 0))
    elif isinstance(node[key], str):
        node[key] = rng.choice((node[key] + "x", node[key][:-1], node[key].upper(), [node[key]]))


_TREE_DAMAGE = (_replace, _replace, _replace, _remove, _rename, _double, _nudge, _nudge)
