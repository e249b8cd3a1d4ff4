r"""Public datasets, a synthetic one with known false negatives, and your own data frames."""
from pyg_advcf.datasets.amazon_book import AmazonBook
from pyg_advcf.datasets.amazon_pet import AmazonPet
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.datasets.coat import Coat
from pyg_advcf.datasets.frame import FrameData, from_frame
from pyg_advcf.datasets.gowalla import Gowalla
from pyg_advcf.datasets.kuairec import KuaiRec
from pyg_advcf.datasets.movielens1m import MovieLens1M
from pyg_advcf.datasets.synthetic import SyntheticExposure
from pyg_advcf.datasets.yahoo_r3 import YahooR3
from pyg_advcf.datasets.yelp2018 import Yelp2018
from pyg_advcf.registry import import_modules

__all__ = ['AmazonBook', 'AmazonPet', 'Coat', 'FrameData', 'Gowalla', 'InteractionDataset',
           'KuaiRec', 'MovieLens1M', 'SyntheticExposure', 'YahooR3', 'Yelp2018', 'from_frame']

import_modules(__name__, __path__)
