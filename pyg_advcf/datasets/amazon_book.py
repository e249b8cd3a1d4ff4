r"""Amazon books."""
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.registry import DATASETS


@DATASETS.register('amazon_book')
class AmazonBook(InteractionDataset):
    r"""Amazon books (52,643 users, 91,599 items) in the split of `"LightGCN" <https://arxiv.org/abs/2002.02126>`_.

    2,984,108 interactions. No validation: hold one out with
    :class:`~pyg_advcf.transforms.RandomSplit`.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'amazon_book'
    files = {'train': 'train.txt', 'test': 'test.txt'}
    url = 'https://raw.githubusercontent.com/kuandeng/LightGCN/HEAD/Data/amazon-book'
