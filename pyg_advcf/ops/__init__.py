r"""The two operations that training spends its time in, one public function each."""
from pyg_advcf.ops.sampled_scores import sampled_product, sampled_scores
from pyg_advcf.ops.spmm import spmm

__all__ = ['sampled_product', 'sampled_scores', 'spmm']
