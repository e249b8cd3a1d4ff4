r"""Plain PyTorch: gather, multiply, reduce by segment (with torch-scatter where installed)."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.utils import segment


def segment_sum(x: Tensor, indptr: Tensor, index: Tensor, weight: Optional[Tensor]) -> Tensor:
    source = x[index.long()]
    if weight is not None:
        source = source * weight.view(-1, 1)
    return segment(source, indptr.long())


def sddmm(a: Tensor, b: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    row = torch.repeat_interleave(indptr.diff().long(), output_size=index.numel())
    return (a[row] * b[index.long()]).sum(-1)
