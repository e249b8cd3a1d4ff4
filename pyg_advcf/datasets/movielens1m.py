r"""MovieLens-1M."""
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.registry import DATASETS


@DATASETS.register('ml-1m')
class MovieLens1M(InteractionDataset):
    r"""MovieLens-1M (6,022 users, 3,043 items) in the split of UltraGCN's repository.

    796,244 training and 99,455 test pairs, no validation: hold one out with
    :class:`~pyg_advcf.transforms.RandomSplit`. Not the split of the SharpCF paper.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'ml-1m'
    files = {'train': 'train.txt', 'test': 'test.txt'}
    url = 'https://raw.githubusercontent.com/xue-pai/UltraGCN/HEAD/data/ml-1m'
    checksums = {
        'train.txt': 'f088986b22f14f17136f9c4ef6f1269201f83dfb9ce259f1fd4ed46d72a92599',
        'test.txt': '7ca364f7f9321417b521745833b12719a2feb13253bccece2c04d5afe9fc3e15',
    }
