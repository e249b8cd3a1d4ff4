r"""Losses as plain modules: ``criterion(pos [B], neg [B, N], batch) -> loss``."""
from pyg_advcf.criteria import functional
from pyg_advcf.criteria.adaptau import AdapTau
from pyg_advcf.criteria.advinfonce import AdvInfoNCE
from pyg_advcf.criteria.bc import BCLoss
from pyg_advcf.criteria.bce import BCE
from pyg_advcf.criteria.bir import BIR
from pyg_advcf.criteria.bpr import BPR
from pyg_advcf.criteria.bsl import BSL
from pyg_advcf.criteria.ccl import CCL
from pyg_advcf.criteria.clamped_view_infonce import ClampedViewInfoNCE
from pyg_advcf.criteria.constrained_bce import ConstrainedBCE, constraint_weights
from pyg_advcf.criteria.criterion import Criterion, EmbeddingCriterion
from pyg_advcf.criteria.dcl import DCL
from pyg_advcf.criteria.directau import DirectAU
from pyg_advcf.criteria.hinge import Hinge
from pyg_advcf.criteria.infol1o import InfoL1O
from pyg_advcf.criteria.infonce import (
    FullInfoNCE,
    InBatchInfoNCE,
    InfoNCE,
)
from pyg_advcf.criteria.instance_weighted import (
    InstanceWeighted,
    WeightNetwork,
    anchored_weights,
)
from pyg_advcf.criteria.invcf import InvCFLoss
from pyg_advcf.criteria.l2 import EmbeddingL2
from pyg_advcf.criteria.popularity import PopularityEmbedding
from pyg_advcf.criteria.prototype_infonce import PrototypeInfoNCE
from pyg_advcf.criteria.sdro import SDRO
from pyg_advcf.criteria.supcon import SupCon
from pyg_advcf.criteria.trajectory import TrajectoryPenalty
from pyg_advcf.criteria.view_infonce import ViewInfoNCE
from pyg_advcf.criteria.warp import WARP
from pyg_advcf.criteria.xir import XIR
from pyg_advcf.registry import import_modules

__all__ = ['AdapTau', 'AdvInfoNCE', 'BCE', 'BCLoss', 'BIR', 'BPR', 'BSL', 'CCL',
           'ClampedViewInfoNCE', 'ConstrainedBCE', 'Criterion', 'DCL', 'DirectAU',
           'EmbeddingCriterion', 'EmbeddingL2', 'FullInfoNCE', 'Hinge', 'InBatchInfoNCE',
           'InfoL1O', 'InfoNCE', 'InstanceWeighted', 'InvCFLoss', 'PopularityEmbedding',
           'PrototypeInfoNCE', 'SDRO', 'SupCon', 'TrajectoryPenalty', 'ViewInfoNCE', 'WARP',
           'WeightNetwork', 'XIR', 'anchored_weights', 'constraint_weights', 'functional']

import_modules(__name__, __path__)
