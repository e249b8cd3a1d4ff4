import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import InteractionLoader, LightGCN, methods
from pyg_advcf.nn import DCCF


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def test_without_weight_it_is_bpr(toy, batch):
    backbone = DCCF(toy, dim=4, num_intents=3).double()
    assert torch.equal(methods.DCCF(backbone, toy, weight=0.)(batch),
                       methods.BPR(backbone, toy, l2=0.1)(batch))


def test_contrasts_the_propagation_with_each_other_view(toy, batch):
    backbone = DCCF(toy, dim=4, num_intents=3).double()
    method = methods.DCCF(backbone, toy, temperature=0.6, weight=0.7, l2=0.02)
    expected = methods.BPR(backbone, toy, l2=0.02)(batch)
    z = backbone(return_views=True)
    assert len(z.extra) == 2
    for propagated, intents, masked, intents_masked in z.extra:
        for other in (intents, masked, intents_masked):
            for a, b, ids in zip(propagated, other, (batch.user.unique(), batch.item.unique())):
                expected = expected + 0.7 * F.cross_entropy(
                    F.normalize(a[ids], dim=1) @ F.normalize(b[ids], dim=1).t() / 0.6,
                    torch.arange(ids.numel()))
    assert torch.allclose(method(batch), expected, atol=1e-10)


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="has no intents and masks.*use pyg_advcf.nn.DCCF"):
        methods.DCCF(LightGCN(toy, dim=2), toy)
    with pytest.raises(ValueError, match="'temperature' is 0"):
        methods.DCCF(DCCF(toy, dim=2), toy, temperature=0)
