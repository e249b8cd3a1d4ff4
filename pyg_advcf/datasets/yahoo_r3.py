r"""Yahoo!R3."""
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.registry import DATASETS


@DATASETS.register('yahoo_r3')
class YahooR3(InteractionDataset):
    r"""Yahoo!R3 songs (14,382 users, 1,000 items): biased training data, unbiased test set.

    The split of `"Empowering Collaborative Filtering with Principled Adversarial Contrastive Loss"
    <https://arxiv.org/abs/2310.18700>`_: 88,684 training, 36,393 validation and 4,671 test pairs
    (``test_ood``).

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'yahoo_r3'
    files = {'train': 'train.txt', 'val': 'valid.txt', 'test_ood': 'test_ood.txt'}
    url = 'https://raw.githubusercontent.com/LehengTHU/AdvInfoNCE/HEAD/data/yahoo.new'
    checksums = {
        'train.txt': 'cca11ae2c3baba4573a1451c8f892e1eb3d63aac4af6a2348f05ffc316ba98e6',
        'valid.txt': 'ab7c0b345cac632fd65dfe5481b34e63d5aed2d3fb1546660bd84f7796c70aac',
        'test_ood.txt': '358efe3c475f09f30073c9fcb9b7032ed371d5eddf2ca94ec565c4cc6d976a86',
    }
