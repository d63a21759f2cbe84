"""The compiled kernel (``serinus/model/native``). Arrays are C-contiguous float64."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

@final
class Forest:
    features: int
    trees: int
    depth: int
    distinct: int
    nodes: int
    bytes: int
    explains: bool
    base: float
    def __init__(
        self, features: int, arrays: Mapping[str, NDArray[Any]], sigmoid: float = 1.0, budget: int = ...
    ) -> None: ...
    def margin(self, row: _Floats, /) -> float: ...
    def probability(self, row: _Floats, /) -> float: ...
    def contribution(self, row: _Floats, /) -> list[float]: ...
    def margins(self, rows: _Floats, out: _Floats, /) -> None: ...
    def probabilities(self, rows: _Floats, out: _Floats, /) -> None: ...
    def contributions(self, rows: _Floats, out: _Floats, /) -> None: ...

@final
class Encoder:
    def __init__(
        self,
        lows: _Floats,
        highs: _Floats,
        flags: bytes,
        codes: tuple[dict[str, float] | None, ...],
        /,
    ) -> None: ...
    def row(self, values: Sequence[object], out: _Floats, /) -> int: ...
    def rows(self, rows: Sequence[Sequence[object]], out: _Floats, /) -> int: ...

@final
class Lines:
    def __init__(
        self,
        before_time: bytes,
        after_time: bytes,
        end: bytes,
        json: Callable[[Any], bytes],
        sha256: Callable[[Any], Any],
        /,
    ) -> None: ...
    def begin(self, seq: int, head: str, /) -> None: ...
    def add(
        self,
        request_id: str,
        time: float,
        rows: Any,
        answers: Any,
        start: int,
        stop: int,
        keys: tuple[Callable[[bytes, bytes], bytes], ...] | None = None,
        /,
    ) -> None: ...
    def take(self) -> tuple[list[bytes], int, int, str]: ...
