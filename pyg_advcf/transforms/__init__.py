r"""Transforms of interaction data: splits and cores."""
from pyg_advcf.transforms.k_core import KCore
from pyg_advcf.transforms.popularity_shift import PopularityShiftSplit
from pyg_advcf.transforms.random_split import RandomSplit

__all__ = ['KCore', 'PopularityShiftSplit', 'RandomSplit']
