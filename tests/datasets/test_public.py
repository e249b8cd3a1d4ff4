r"""Statistics of the public datasets, where a mirror holds them."""
import pytest

from pyg_advcf import EDGE_TYPE, interaction_graph, split_names
from pyg_advcf.registry import DATASETS

STATISTICS = {  # users, items, interactions by split
    'coat': (290, 295, {'train': 1_363, 'val': 553, 'test_ood': 860}),
    'yahoo_r3': (14_382, 1_000, {'train': 88_684, 'val': 36_393, 'test_ood': 4_671}),
    'ml-1m': (6_022, 3_043, {'train': 796_244, 'test': 99_455}),
    'gowalla': (29_858, 40_981, {'train': 810_128, 'test': 217_242}),
    'yelp2018': (31_668, 38_048, {'train': 1_237_259, 'test': 324_147}),
    'amazon_pet': (3_901, 8_207, {'train': 48_660, 'test': 10_677}),
}


@pytest.mark.parametrize('name', STATISTICS)
def test_statistics(mirror, tmp_path, name):
    if not (mirror / name / 'raw').is_dir():
        pytest.skip(f'the mirror does not hold {name}')
    data = DATASETS[name](str(tmp_path / name))[0]
    users, items, sizes = STATISTICS[name]
    assert (data['user'].num_nodes, data['item'].num_nodes) == (users, items)
    found = {'train': data[EDGE_TYPE].edge_index.size(1)}
    for split in split_names(data):
        found[split] = data[EDGE_TYPE][f'{split}_edge_label_index'].size(1)
    assert found == sizes
    assert interaction_graph(data).get_sparse_size() == (users, items)


def test_coat_holds_test_pairs_in_train(mirror, tmp_path):
    data = DATASETS['coat'](str(tmp_path / 'coat'))[0]
    pairs = {s: {tuple(p) for p in data[EDGE_TYPE][k].t().tolist()}
             for s, k in (('train', 'edge_index'), ('val', 'val_edge_label_index'),
                          ('test', 'test_ood_edge_label_index'))}
    assert len(pairs['test'] & pairs['train']) == 71
    assert len(pairs['test'] & pairs['val']) == 31
