r"""The criteria as pure functions of scores."""
from pyg_advcf.criteria.advinfonce import advinfonce, log_hardness
from pyg_advcf.criteria.bce import bce
from pyg_advcf.criteria.bpr import bpr
from pyg_advcf.criteria.infonce import infonce
from pyg_advcf.criteria.trajectory import trajectory

__all__ = ['advinfonce', 'bce', 'bpr', 'infonce', 'log_hardness', 'trajectory']
