r"""The operations that training spends its time in, one public function each."""
import warnings

import torch

from pyg_advcf.ops.backend import backends
from pyg_advcf.ops.draw import draw
from pyg_advcf.ops.layers import layer_sums
from pyg_advcf.ops.propagate import propagate
from pyg_advcf.ops.sampled_scores import sampled_product, sampled_scores
from pyg_advcf.ops.sddmm import sddmm
from pyg_advcf.ops.spmm import spmm

with warnings.catch_warnings():
    # PyTorch announces once per process that sparse CSR tensors are in beta. It is said here, to
    # nobody, instead of in the middle of a user's training.
    warnings.simplefilter('ignore')
    torch.sparse_csr_tensor([0, 1], [0], [1.], (1, 1), check_invariants=False)

__all__ = ['backends', 'draw', 'sddmm', 'layer_sums', 'propagate', 'sampled_product',
           'sampled_scores', 'spmm']
