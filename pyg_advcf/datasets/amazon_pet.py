r"""Amazon pet supplies."""
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.interactions import EDGE_TYPE, interaction_data
from pyg_advcf.registry import DATASETS


@DATASETS.register('amazon_pet')
class AmazonPet(InteractionDataset):
    r"""Amazon pet supplies (3,901 users, 8,207 items), split per user by time.

    The split of the repository of GLSRec: 48,660 training and 10,677 test pairs, every rating an
    interaction; 295 test items never occur in training. Training interactions carry ``rating`` and
    ``time`` (seconds since 1970). No validation: hold one out with
    :class:`~pyg_advcf.transforms.RandomSplit`.

    Args:
        root: Folder of this dataset.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.
    """
    name = 'amazon_pet'
    files = {'train': 'pet_ratio_u10_i0.train', 'test': 'pet_ratio_u10_i0.test'}
    url = 'https://raw.githubusercontent.com/wubinzzu/GLSRec/HEAD/dataset/pet_ratio_u10_i0'
    checksums = {
        'pet_ratio_u10_i0.train':
        '54741c89fb0b7d0aef2696a62aed827a8ff5b17ff0e343e55b532a0e72f2d2dc',
        'pet_ratio_u10_i0.test':
        'fcb2f575f050d0b3546bcd1b95785eeec889109baf7080ae92b288a6a9cdd1c4',
    }

    def read(self) -> HeteroData:
        frames = {}
        for split, path in zip(self.files, self.raw_paths):
            try:
                frames[split] = pd.read_csv(path, sep='\t', header=None, dtype={
                    'user': 'int64', 'item': 'int64', 'rating': 'float32', 'time': 'int64'},
                    names=['user', 'item', 'rating', 'time'])
            except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as e:
                raise ValueError(f"'{path}' is not a table of user, item, rating and time ({e}); "
                                 f"delete the file to fetch it again") from e
        both = pd.concat(frames.values())
        pairs = {split: torch.from_numpy(frame[['user', 'item']].to_numpy().T.copy())
                 for split, frame in frames.items()}
        data = interaction_data(pairs['train'], int(both.user.max()) + 1, int(both.item.max()) + 1,
                                test=pairs['test'])
        data[EDGE_TYPE].rating = torch.from_numpy(frames['train'].rating.to_numpy().copy())
        data[EDGE_TYPE].time = torch.from_numpy(frames['train'].time.to_numpy().copy())
        return data
