r"""Strong baselines without gradient descent: ``EASE(data)`` is fitted, ``evaluate`` ranks it.

They are found by name in :data:`pyg_advcf.registry.BASELINES`. All are fitted from the known pairs
of the data, on the CPU, and hold no parameters that :func:`pyg_advcf.fit` would train.
"""
from pyg_advcf.baselines.baseline import Baseline
from pyg_advcf.baselines.ease import EASE
from pyg_advcf.baselines.gf_cf import GFCF
from pyg_advcf.baselines.ials import IALS
from pyg_advcf.baselines.item_knn import ItemKNN
from pyg_advcf.baselines.popularity import Popularity
from pyg_advcf.registry import import_modules

__all__ = ['Baseline', 'EASE', 'GFCF', 'IALS', 'ItemKNN', 'Popularity']

import_modules(__name__, __path__)
