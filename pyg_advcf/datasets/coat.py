r"""Coat."""
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.registry import DATASETS


@DATASETS.register('coat')
class Coat(InteractionDataset):
    r"""Coat shopping (290 users, 295 items): biased training data, unbiased test set.

    The split of `"Empowering Collaborative Filtering with Principled Adversarial Contrastive Loss"
    <https://arxiv.org/abs/2310.18700>`_: 1,363 training, 553 validation and 860 test pairs
    (``test_ood``). 71 test pairs also occur in training and 31 in validation: see ``protocol`` of
    :func:`pyg_advcf.evaluate`.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'coat'
    files = {'train': 'train.txt', 'val': 'valid.txt', 'test_ood': 'test_ood.txt'}
    url = 'https://raw.githubusercontent.com/LehengTHU/AdvInfoNCE/HEAD/data/coat'
    checksums = {
        'train.txt': 'e6c6a8727feeeae27d09c802b12d2d4a88e52aa75e4a3fd17fab439901483d5a',
        'valid.txt': '00e3d3d1a567e4ab6f3e0f7e35a849da6221afb0df767a9ce423df58938b849e',
        'test_ood.txt': 'e77d3a6af25cb0292e79a7659a075429b8df6c86559522c657e84a48bd23f685',
    }
