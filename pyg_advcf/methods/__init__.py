r"""Published training recipes, one a file: ``method(batch) -> loss``."""
from pyg_advcf.methods.adaptau import AdapTau
from pyg_advcf.methods.advinfonce import AdvInfoNCE, UniformAdvInfoNCE
from pyg_advcf.methods.apr import APR
from pyg_advcf.methods.bc import BC
from pyg_advcf.methods.bce import BCE
from pyg_advcf.methods.bir import BIR
from pyg_advcf.methods.bpr import BPR
from pyg_advcf.methods.bsl import BSL
from pyg_advcf.methods.ccl import CCL
from pyg_advcf.methods.dcl import DCL
from pyg_advcf.methods.directau import DirectAU
from pyg_advcf.methods.hinge import Hinge
from pyg_advcf.methods.infol1o import InfoL1O
from pyg_advcf.methods.infonce import InfoNCE
from pyg_advcf.methods.invcf import InvCF
from pyg_advcf.methods.recommender import AdversarialRecommender, Recommender
from pyg_advcf.methods.sdro import SDRO
from pyg_advcf.methods.sharpcf import SharpCF
from pyg_advcf.methods.simgcl import SimGCL
from pyg_advcf.methods.supcon import SupCon
from pyg_advcf.methods.warp import WARP
from pyg_advcf.methods.xir import XIR
from pyg_advcf.methods.xsimgcl import XSimGCL

__all__ = ['APR', 'AdapTau', 'AdvInfoNCE', 'AdversarialRecommender', 'BC', 'BCE', 'BIR', 'BPR',
           'BSL', 'CCL', 'DCL', 'DirectAU', 'Hinge', 'InfoL1O', 'InfoNCE', 'InvCF', 'Recommender',
           'SDRO', 'SharpCF', 'SimGCL', 'SupCon', 'UniformAdvInfoNCE', 'WARP', 'XIR', 'XSimGCL']
