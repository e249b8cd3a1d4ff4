r"""Published training recipes, one a file: ``method(batch) -> loss``."""
from pyg_advcf.methods.accf import ACCF
from pyg_advcf.methods.adaptau import AdapTau
from pyg_advcf.methods.advinfonce import AdvInfoNCE, UniformAdvInfoNCE
from pyg_advcf.methods.apr import APR
from pyg_advcf.methods.bc import BC
from pyg_advcf.methods.bce import BCE
from pyg_advcf.methods.bir import BIR
from pyg_advcf.methods.bpr import BPR
from pyg_advcf.methods.bsl import BSL
from pyg_advcf.methods.ccl import CCL
from pyg_advcf.methods.dccf import DCCF
from pyg_advcf.methods.dcl import DCL
from pyg_advcf.methods.directau import DirectAU
from pyg_advcf.methods.hinge import Hinge
from pyg_advcf.methods.infol1o import InfoL1O
from pyg_advcf.methods.infonce import InfoNCE
from pyg_advcf.methods.invcf import InvCF
from pyg_advcf.methods.lightgcl import LightGCL
from pyg_advcf.methods.ncl import NCL
from pyg_advcf.methods.recommender import (
    AdversarialRecommender,
    BilevelRecommender,
    Recommender,
)
from pyg_advcf.methods.sdro import SDRO
from pyg_advcf.methods.sgl import SGL
from pyg_advcf.methods.sharpcf import SharpCF
from pyg_advcf.methods.simgcl import SimGCL
from pyg_advcf.methods.supcon import SupCon
from pyg_advcf.methods.ultragcn import UltraGCN
from pyg_advcf.methods.warp import WARP
from pyg_advcf.methods.xir import XIR
from pyg_advcf.methods.xsimgcl import XSimGCL
from pyg_advcf.registry import import_modules

__all__ = ['ACCF', 'APR', 'AdapTau', 'AdvInfoNCE', 'AdversarialRecommender', 'BC', 'BCE', 'BIR',
           'BPR', 'BSL', 'BilevelRecommender', 'CCL', 'DCCF', 'DCL', 'DirectAU', 'Hinge',
           'InfoL1O', 'InfoNCE', 'InvCF', 'LightGCL', 'NCL', 'Recommender', 'SDRO', 'SGL',
           'SharpCF', 'SimGCL', 'SupCon', 'UltraGCN', 'UniformAdvInfoNCE', 'WARP', 'XIR',
           'XSimGCL']

import_modules(__name__, __path__)
