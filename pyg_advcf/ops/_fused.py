r"""Kernels of PyTorch that keep no tensor per edge: embedding bags, sparse and sampled products."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


def segment_sum(x: Tensor, indptr: Tensor, index: Tensor, weight: Optional[Tensor]) -> Tensor:
    if x.device.type == 'cpu':
        # A sum over segments of rows *is* the product with a binary matrix, and needs no values.
        return F.embedding_bag(index, x, indptr.to(index.dtype), per_sample_weights=weight,
                               mode='sum', include_last_offset=True)
    if weight is None:
        weight = torch.ones_like(index, dtype=x.dtype)
    size = indptr.numel() - 1, x.size(0)
    return torch.sparse_csr_tensor(indptr.to(index.dtype), index, weight, size,
                                   check_invariants=False) @ x


def sddmm(a: Tensor, b: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    if index.numel() > a.size(0) * b.size(0):  # `sampled_addmm` refuses more than all entries.
        row = torch.repeat_interleave(indptr.diff().long(), output_size=index.numel())
        return (a @ b.t())[row, index.long()]
    if a.dtype in (torch.float16, torch.bfloat16):  # Neither has it.
        return sddmm(a.float(), b.float(), indptr, index).to(a.dtype)
    # On CPU the product is taken entry by entry: columns may repeat, in any order.
    pattern = torch.sparse_csr_tensor(indptr.to(index.dtype), index, a.new_zeros(index.numel()),
                                      (a.size(0), b.size(0)), check_invariants=False)
    return torch.sparse.sampled_addmm(pattern, a, b.t(), beta=0.).values()
