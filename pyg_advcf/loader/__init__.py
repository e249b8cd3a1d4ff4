r"""Mini-batches of interactions, and the sampling of negatives and neighbourhoods."""
from pyg_advcf.loader.interaction_loader import InteractionLoader
from pyg_advcf.loader.negative_sampler import NegativeSampler
from pyg_advcf.loader.torch_neighbor_sampler import TorchNeighborSampler

__all__ = ['InteractionLoader', 'NegativeSampler', 'TorchNeighborSampler']
