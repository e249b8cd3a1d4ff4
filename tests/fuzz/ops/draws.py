r"""A call with right arguments, and the draws that make them."""
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pyg_advcf import as_graph


@dataclass
class Case:
    r"""A call with right arguments.

    Attributes:
        function: Its name in the record.
        args: By name.
        kinds: How each may be corrupted.
        call: Makes the call.
        expect: What plain PyTorch returns, or a function that finds what is wrong with a result;
            raises :class:`~fuzz.ops.expected.Wrong` where the arguments are.
    """
    function: str
    args: dict
    kinds: dict
    call: Callable[[dict], Any]
    expect: Callable[[dict], Any]


class Draws:
    r"""Sizes, types, tables, ids and graphs; all that is random comes from one seed."""
    def __init__(self, seed: int, number: int) -> None:
        self.r = random.Random(f'{seed} {number}')
        torch.manual_seed(self.r.randrange(2**32))

    def size(self, low=1, high=9):
        return self.r.choice((low, self.r.randint(low, high), self.r.randint(low, high)))

    def dtype(self):
        return self.r.choice([torch.float32] * 4 + [torch.float64] * 2
                             + [torch.bfloat16, torch.float16])

    def table(self, rows, width, dtype):
        return torch.randn(rows, width).to(dtype).requires_grad_(self.r.random() < .5)

    def ids(self, size, *shape):
        kind = self.r.choice((torch.int64, torch.int64, torch.int32))
        return torch.randint(max(size, 1), shape if size else [0] * len(shape)).to(kind)

    def distinct(self, size):
        if self.r.random() < .4:
            return None
        return torch.randperm(size)[:self.r.randint(0, size)]

    def pairs(self, n, m):
        keys = torch.randperm(n * m)[:self.r.randint(0, min(n * m, 14))].sort()[0]
        return torch.stack([keys // m, keys % m])

    def graph(self, n, m):
        return as_graph(self.pairs(n, m), n, m)

    def backend(self, dtype, kind, concrete=False):
        names = ['torch', 'torch', 'fused', 'numba', 'numba', 'triton']
        if dtype not in (torch.float32, torch.float64):
            names = ['torch', 'triton'] + ['fused'] * (kind == 'spmm')
        return self.r.choice(names + [None] * (3 * (not concrete)))
