r"""Published training recipes, one a file: ``method(batch) -> loss``."""
from pyg_advcf.methods.accf import ACCF
from pyg_advcf.methods.advinfonce import AdvInfoNCE, UniformAdvInfoNCE
from pyg_advcf.methods.apr import APR
from pyg_advcf.methods.bce import BCE
from pyg_advcf.methods.bpr import BPR
from pyg_advcf.methods.dccf import DCCF
from pyg_advcf.methods.infonce import InfoNCE
from pyg_advcf.methods.lightgcl import LightGCL
from pyg_advcf.methods.ncl import NCL
from pyg_advcf.methods.recommender import (
    AdversarialRecommender,
    BilevelRecommender,
    Recommender,
)
from pyg_advcf.methods.sgl import SGL
from pyg_advcf.methods.sharpcf import SharpCF
from pyg_advcf.methods.simgcl import SimGCL
from pyg_advcf.methods.ultragcn import UltraGCN
from pyg_advcf.methods.xsimgcl import XSimGCL

__all__ = ['ACCF', 'APR', 'AdvInfoNCE', 'AdversarialRecommender', 'BCE', 'BPR',
           'BilevelRecommender', 'DCCF', 'InfoNCE', 'LightGCL', 'NCL', 'Recommender', 'SGL',
           'SharpCF', 'SimGCL', 'UltraGCN', 'UniformAdvInfoNCE', 'XSimGCL']
