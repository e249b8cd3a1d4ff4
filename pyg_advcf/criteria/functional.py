r"""The criteria as pure functions of scores, or of embeddings where scores do not suffice."""
from pyg_advcf.criteria.adaptau import adaptau, base_temperature, user_temperature
from pyg_advcf.criteria.advinfonce import advinfonce, log_hardness
from pyg_advcf.criteria.bc import bc
from pyg_advcf.criteria.bce import bce
from pyg_advcf.criteria.bir import bir, resample
from pyg_advcf.criteria.bpr import bpr
from pyg_advcf.criteria.bsl import bsl
from pyg_advcf.criteria.ccl import ccl
from pyg_advcf.criteria.dcl import dcl
from pyg_advcf.criteria.directau import alignment, uniformity
from pyg_advcf.criteria.hinge import hinge
from pyg_advcf.criteria.infol1o import infol1o
from pyg_advcf.criteria.infonce import infonce
from pyg_advcf.criteria.invcf import distance_correlation
from pyg_advcf.criteria.sdro import popularity_groups, sdro
from pyg_advcf.criteria.supcon import supcon
from pyg_advcf.criteria.trajectory import trajectory
from pyg_advcf.criteria.warp import warp

__all__ = ['adaptau', 'advinfonce', 'alignment', 'base_temperature', 'bc', 'bce', 'bir', 'bpr',
           'bsl', 'ccl', 'dcl', 'distance_correlation', 'hinge', 'infol1o', 'infonce',
           'log_hardness', 'popularity_groups', 'resample', 'sdro', 'supcon', 'trajectory',
           'uniformity', 'user_temperature', 'warp']
