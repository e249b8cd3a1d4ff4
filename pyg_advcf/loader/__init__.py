r"""Mini-batches of interactions and the sampling of negatives."""
from pyg_advcf.loader.interaction_loader import InteractionLoader
from pyg_advcf.loader.negative_sampler import NegativeSampler

__all__ = ['InteractionLoader', 'NegativeSampler']
