r"""Losses as plain modules: ``criterion(pos [B], neg [B, N], batch) -> loss``."""
from pyg_advcf.criteria import functional
from pyg_advcf.criteria.advinfonce import AdvInfoNCE
from pyg_advcf.criteria.bce import BCE
from pyg_advcf.criteria.bpr import BPR
from pyg_advcf.criteria.constrained_bce import ConstrainedBCE
from pyg_advcf.criteria.criterion import Criterion
from pyg_advcf.criteria.infonce import FullInfoNCE, InBatchInfoNCE, InfoNCE
from pyg_advcf.criteria.instance_weighted import (
    InstanceWeighted,
    WeightNetwork,
    anchored_weights,
)
from pyg_advcf.criteria.l2 import EmbeddingL2
from pyg_advcf.criteria.prototype_infonce import PrototypeInfoNCE
from pyg_advcf.criteria.trajectory import TrajectoryPenalty
from pyg_advcf.criteria.view_infonce import ViewInfoNCE

__all__ = ['AdvInfoNCE', 'BCE', 'BPR', 'ConstrainedBCE', 'Criterion', 'EmbeddingL2',
           'FullInfoNCE', 'InBatchInfoNCE', 'InfoNCE', 'InstanceWeighted', 'PrototypeInfoNCE',
           'TrajectoryPenalty', 'ViewInfoNCE', 'WeightNetwork', 'anchored_weights', 'functional']
