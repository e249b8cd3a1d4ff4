r"""KuaiRec."""
import torch
from torch_geometric.data import HeteroData

from pyg_advcf.datasets.base import InteractionDataset
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

    def read(self) -> HeteroData:
        data = super().read()
        path = self.raw_paths[self.raw_file_names.index(self.files['candidates'])]
        with open(path, encoding='utf-8') as f:
            try:
                barred = torch.tensor([int(line) for line in f if line.strip()], dtype=torch.long)
            except ValueError as e:
                raise ValueError(f"'{path}' is not a list of item ids ({e}); delete the file to "
                                 f"fetch it again") from e
        if barred.numel() > 0 and int(barred.max()) >= data['item'].num_nodes:
            data['item'].num_nodes = int(barred.max()) + 1
        mask = torch.ones(data['item'].num_nodes, dtype=torch.bool)
        mask[barred] = False
        data['item'].candidate_mask = mask
        return data
