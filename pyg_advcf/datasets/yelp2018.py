r"""Yelp 2018."""
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.registry import DATASETS


@DATASETS.register('yelp2018')
class Yelp2018(InteractionDataset):
    r"""Yelp 2018 (31,668 users, 38,048 items) in the split of `"LightGCN" <https://arxiv.org/abs/2002.02126>`_.

    1,237,259 training and 324,147 test pairs. No validation: hold one out with
    :class:`~pyg_advcf.transforms.RandomSplit`.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'yelp2018'
    files = {'train': 'train.txt', 'test': 'test.txt'}
    url = 'https://raw.githubusercontent.com/kuandeng/LightGCN/HEAD/Data/yelp2018'
    checksums = {
        'train.txt': '1e9568725a9e833d0ac3bae01c94cd95367f73b3bb6104fd26b5f65ea5054093',
        'test.txt': '9cd9b37926cd1447a06625ffa7914527573fb097c10cb0bbdb1d1b8ded3742fe',
    }
