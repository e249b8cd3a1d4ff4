r"""Transforms of interaction data: splits, cores, views and perturbations."""
from pyg_advcf.transforms.cold_start import ColdStartSplit
from pyg_advcf.transforms.edge_drop import EdgeDrop
from pyg_advcf.transforms.graph_view import GraphView
from pyg_advcf.transforms.interaction_transform import InteractionTransform
from pyg_advcf.transforms.k_core import KCore
from pyg_advcf.transforms.leave_one_out import LeaveOneOut
from pyg_advcf.transforms.merge_split import MergeSplit
from pyg_advcf.transforms.node_drop import NodeDrop
from pyg_advcf.transforms.noise import AddInteractionNoise
from pyg_advcf.transforms.perturb import (
    FastGradient,
    Perturbation,
    ProjectedGradient,
    RandomNoise,
)
from pyg_advcf.transforms.popularity_shift import PopularityShiftSplit
from pyg_advcf.transforms.random_split import RandomSplit
from pyg_advcf.transforms.random_walk import RandomWalk
from pyg_advcf.transforms.sample_users import SampleUsers
from pyg_advcf.transforms.temporal_split import TemporalSplit

__all__ = ['AddInteractionNoise', 'ColdStartSplit', 'EdgeDrop', 'FastGradient', 'GraphView',
           'InteractionTransform', 'KCore', 'LeaveOneOut', 'MergeSplit', 'NodeDrop', 'Perturbation',
           'PopularityShiftSplit', 'ProjectedGradient', 'RandomNoise', 'RandomSplit', 'RandomWalk',
           'SampleUsers', 'TemporalSplit']
