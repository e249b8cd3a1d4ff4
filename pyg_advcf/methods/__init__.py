r"""Published training recipes, one a file: ``method(batch) -> loss``."""
from pyg_advcf.methods.advinfonce import AdvInfoNCE, UniformAdvInfoNCE
from pyg_advcf.methods.bce import BCE
from pyg_advcf.methods.bpr import BPR
from pyg_advcf.methods.infonce import InfoNCE
from pyg_advcf.methods.recommender import AdversarialRecommender, Recommender

__all__ = ['AdvInfoNCE', 'AdversarialRecommender', 'BCE', 'BPR', 'InfoNCE', 'Recommender',
           'UniformAdvInfoNCE']
