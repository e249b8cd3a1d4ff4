import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, degrees, methods
from pyg_advcf.nn import UltraGCN


@pytest.mark.parametrize('backbone', [MF, UltraGCN])
def test_equals_a_loop_over_the_pairs(toy, backbone):
    batch = next(iter(InteractionLoader(toy, 8, num_neg=3)))
    model = backbone(toy, dim=4, init='normal_0.1').double()
    method = methods.UltraGCN(model, toy, (0.1, 0.2, 0.3, 0.4), neg_weight=7., l2=0.).double()
    d_user, d_item = degrees(toy)

    def beta(u, i):
        return float(((d_user[u] + 1) / (d_item[i] + 1)).double().sqrt() / d_user[u])

    total = 0.
    for u, i, negatives in zip(batch.user, batch.item, batch.neg_item):
        x = model.x.user[u]
        total = total + (0.1 + 0.2 * beta(u, i)) * F.softplus(-x @ model.x.item[i])
        for j in negatives:
            total = total + 7 / 3 * (0.3 + 0.4 * beta(u, j)) * F.softplus(x @ model.x.item[j])
    expected = total / 8
    if backbone is UltraGCN:
        expected = expected + model.penalty(batch)
    assert torch.allclose(method(batch), expected, atol=1e-6)


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match=r"'weights\[1\]' is -1"):
        methods.UltraGCN(MF(toy, dim=2), toy, (0., -1., 0., 0.))
    with pytest.raises(ValueError, match="'neg_weight' is -1"):
        methods.UltraGCN(MF(toy, dim=2), toy, neg_weight=-1)
