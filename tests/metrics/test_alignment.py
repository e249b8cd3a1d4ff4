import math

import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import EDGE_TYPE, MF, Embeddings, InteractionLoader, fit, methods
from pyg_advcf.metrics import alignment_uniformity


def loop(x, nodes):
    x = F.normalize(x[nodes].double(), dim=-1)
    values = [math.exp(-2 * float((x[a] - x[b]).square().sum()))
              for a in range(len(x)) for b in range(a)]
    return math.log(sum(values) / len(values))


@pytest.mark.parametrize('split', [None, 'val', 'test_ood'])
@pytest.mark.parametrize('unique', [True, False])
def test_equals_the_loop(toy, split, unique):
    model = MF(toy, dim=6)
    store = toy[EDGE_TYPE]
    pairs = store.edge_index if split is None else store[f'{split}_edge_label_index']
    z = model.x
    user, item = pairs.tolist()
    near = [2 - 2 * float(F.cosine_similarity(z.user[u], z.item[i], dim=0).detach())
            for u, i in zip(user, item)]
    nodes = [sorted(set(ids)) if unique else ids for ids in (user, item)]
    expected = [loop(x.detach(), ids) for x, ids in zip(z, nodes)]
    for chunk_size in (2048, 7):
        found = alignment_uniformity(model, toy, split, unique, chunk_size=chunk_size)
        assert list(found) == ['alignment', 'uniformity_user', 'uniformity_item', 'uniformity']
        assert found['alignment'] == pytest.approx(sum(near) / len(near), abs=1e-6)
        assert found['uniformity_user'] == pytest.approx(expected[0], abs=1e-6)
        assert found['uniformity_item'] == pytest.approx(expected[1], abs=1e-6)
        assert found['uniformity'] == pytest.approx(sum(expected), abs=1e-6)


def test_alike_embeddings_and_rotations(toy):
    alike = alignment_uniformity(Embeddings(torch.ones(30, 4), torch.ones(40, 4)), toy)
    assert alike == pytest.approx(dict.fromkeys(alike, 0.), abs=1e-6)
    z = Embeddings(torch.randn(30, 4), torch.randn(40, 4))
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    turned = Embeddings(3 * z.user @ turn, z.item @ turn)
    assert alignment_uniformity(turned, toy) == pytest.approx(alignment_uniformity(z, toy),
                                                              abs=1e-5)


def test_a_sample_is_fixed_and_near(toy):
    z = Embeddings(torch.randn(30, 4), torch.randn(40, 4))
    whole = alignment_uniformity(z, toy)
    sample = alignment_uniformity(z, toy, num_pairs=150)
    assert sample == alignment_uniformity(z, toy, num_pairs=150)
    assert sample != alignment_uniformity(z, toy, num_pairs=150, seed=1)
    assert sample == pytest.approx(whole, abs=0.3) and sample != whole
    assert alignment_uniformity(z, toy, num_pairs=10**6) == whole


def test_directau_lowers_both(toy):
    method = methods.directau(MF(toy, dim=16), gamma=0.5)
    torch.nn.init.normal_(method.backbone.user_embedding.weight, mean=1.)
    before = alignment_uniformity(method, toy)
    fit(method, InteractionLoader(toy, 64), epochs=20, lr=0.05, progress=False)
    after = alignment_uniformity(method, toy)
    assert after['alignment'] < before['alignment']
    assert after['uniformity'] < before['uniformity']


def test_bad_arguments(toy):
    z = Embeddings(torch.randn(30, 4), torch.randn(40, 4))
    with pytest.raises(ValueError, match="'split' is 'vall'.*Did you mean 'val'"):
        alignment_uniformity(z, toy, 'vall')
    with pytest.raises(ValueError, match="'num_pairs' is 0"):
        alignment_uniformity(z, toy, num_pairs=0)
    with pytest.raises(ValueError, match="embeds 40 users and 30 items"):
        alignment_uniformity(Embeddings(z.item, z.user), toy)
