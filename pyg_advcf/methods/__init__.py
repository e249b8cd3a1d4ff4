r"""Published methods: ``methods.infonce(backbone)`` and others by name, ``method(batch) -> loss``.

A method that is a criterion over a backbone is a function in :mod:`pyg_advcf.methods.builders`; a
class exists only where the loss of a batch is computed in another way.
"""
from pyg_advcf.methods.accf import ACCF
from pyg_advcf.methods.apr import APR
from pyg_advcf.methods.bc import BC
from pyg_advcf.methods.builders import (
    adaptau,
    advinfonce,
    bce,
    bir,
    bpr,
    bsl,
    ccl,
    dccf,
    dcl,
    directau,
    hinge,
    infol1o,
    infonce,
    lightgcl,
    sdro,
    supcon,
    ultragcn,
    uniform,
    warp,
    xir,
)
from pyg_advcf.methods.invcf import InvCF
from pyg_advcf.methods.ncl import NCL
from pyg_advcf.methods.recommender import Recommender, UnsupportedBackbone
from pyg_advcf.methods.sgl import SGL
from pyg_advcf.methods.sharpcf import SharpCF
from pyg_advcf.methods.simgcl import SimGCL
from pyg_advcf.methods.views import ViewRecommender
from pyg_advcf.methods.xsimgcl import XSimGCL
from pyg_advcf.registry import import_modules

__all__ = ['ACCF', 'APR', 'BC', 'InvCF', 'NCL', 'Recommender', 'SGL', 'SharpCF', 'SimGCL',
           'UnsupportedBackbone', 'ViewRecommender', 'XSimGCL', 'adaptau', 'advinfonce', 'bce',
           'bir', 'bpr', 'bsl', 'ccl', 'dccf', 'dcl', 'directau', 'hinge', 'infol1o', 'infonce',
           'lightgcl', 'sdro', 'supcon', 'ultragcn', 'uniform', 'warp', 'xir']

import_modules(__name__, __path__)
