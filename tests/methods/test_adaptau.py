import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, methods
from pyg_advcf.criteria.functional import base_temperature, user_temperature
from pyg_advcf.training import SAMStep


@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_temperatures_of_every_epoch(toy, backbone):
    method = methods.AdapTau(backbone(toy, dim=8), toy, warmup=2)
    step, loader = Step(method, lr=0.05), InteractionLoader(toy, 64, 4)
    graph, criterion = method.backbone.graph, method.criterion
    warm = base_temperature(graph).float()
    assert criterion.base == warm and criterion.temperature.eq(warm).all()
    bases = []
    for epoch in range(4):
        loss, count = criterion.loss.clone(), criterion.count.clone()
        z = None if epoch < 2 else method.embeddings()
        step.on_epoch_start(epoch, loader)
        base = base_temperature(graph, z).float()
        assert torch.equal(criterion.base, base)
        assert torch.equal(criterion.temperature, user_temperature(
            loss, count, base.double()).float())
        assert (criterion.temperature.unique().numel() > 5) == (epoch > 0)
        assert criterion.loss.eq(0).all()
        bases.append(float(base))
        for batch in loader:
            step(batch)
        assert int(criterion.count.sum()) == 200
    assert bases[0] == bases[1] and len(set(bases)) == 3


def test_cosines_that_drift_apart_raise_the_temperature(toy):
    method = methods.AdapTau(MF(toy, dim=8), toy, warmup=0)
    step, loader, bases = Step(method, lr=0.05), InteractionLoader(toy, 64, 4), []
    for epoch in range(30):
        step.on_epoch_start(epoch, loader)
        bases.append(float(method.criterion.base))
        for batch in loader:
            step(batch)
    assert bases[-1] > 3 * bases[0]


def test_is_not_called_twice_a_step(toy):
    for name in ('AdapTau', 'SDRO', 'XIR'):
        with pytest.raises(ValueError, match='records'):
            SAMStep(getattr(methods, name)(MF(toy, dim=8), toy))
    with pytest.raises(ValueError, match="'warmup' is -1"):
        methods.AdapTau(MF(toy, dim=8), toy, warmup=-1)
