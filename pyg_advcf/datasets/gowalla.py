r"""Gowalla check-ins."""
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.registry import DATASETS


@DATASETS.register('gowalla')
class Gowalla(InteractionDataset):
    r"""Gowalla check-ins (29,858 users, 40,981 items) in the split of `"LightGCN" <https://arxiv.org/abs/2002.02126>`_.

    810,128 training and 217,242 test pairs. No validation: hold one out with
    :class:`~pyg_advcf.transforms.RandomSplit`.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'gowalla'
    files = {'train': 'train.txt', 'test': 'test.txt'}
    url = 'https://raw.githubusercontent.com/kuandeng/LightGCN/HEAD/Data/gowalla'
    checksums = {
        'train.txt': '7244696fdeb23911319cf7b689f2e15a3c4c92549c873a5677b44e3f13cc3e62',
        'test.txt': '099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3',
    }
