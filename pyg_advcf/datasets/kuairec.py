r"""KuaiRec."""
import numpy as np
import torch
from torch_geometric.data import HeteroData

from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.datasets.user_lists import read_ids
from pyg_advcf.registry import DATASETS


@DATASETS.register('kuairec')
class KuaiRec(InteractionDataset):
    r"""KuaiRec short videos (7,176 users, 10,728 items), with a fully observed test matrix.

    The split of `"Empowering Collaborative Filtering with Principled Adversarial Contrastive Loss"
    <https://arxiv.org/abs/2310.18700>`_. Only the 3,327 items of the fully observed matrix are
    ranked: ``data['item'].candidate_mask``. Validation and test pairs are of the same 1,411 users
    of that matrix, so models are selected on unbiased data here.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'kuairec'
    files = {'train': 'train.txt', 'val': 'valid.txt', 'test_ood': 'test_ood.txt',
             'candidates': 'not_candidate.txt'}
    url = 'https://raw.githubusercontent.com/LehengTHU/AdvInfoNCE/HEAD/data/kuairec2'

    #: Number of items in the catalogue, some of which occur in no split.
    catalogue = 10_728

    def read(self) -> HeteroData:
        data = super().read()
        path = self.raw_paths[self.raw_file_names.index(self.files['candidates'])]
        barred, line = read_ids(path)
        again = 'delete the file to fetch it again'
        if len(line) != len(np.unique(line)):
            raise ValueError(f"'{path}' is not a list of item ids with one in a line; {again}")
        if len(barred) != len(np.unique(barred)):
            raise ValueError(f"'{path}' holds {len(barred) - len(np.unique(barred))} items twice; "
                             f"{again}")
        if barred.max(initial=0) >= self.catalogue:
            raise ValueError(f"'{path}' holds the item {barred.max()}, but the catalogue has "
                             f"{self.catalogue:,} items; {again}")
        data['item'].num_nodes = max(data['item'].num_nodes, int(barred.max(initial=0)) + 1)
        mask = torch.ones(data['item'].num_nodes, dtype=torch.bool)
        mask[torch.from_numpy(barred)] = False
        if not mask.any():
            raise ValueError(f"'{path}' leaves no item to rank; {again}")
        data['item'].candidate_mask = mask
        return data
