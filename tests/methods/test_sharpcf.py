import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, fit, methods


def run(method, toy, epochs=6, seed=1):
    step, losses = Step(method, lr=0.05), []
    loader = InteractionLoader(toy, 64, seed=seed)
    for epoch in range(epochs):
        step.on_epoch_start(epoch, loader)
        losses.append([float(step(batch)) for batch in loader])
    return losses


@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_without_weight_or_before_its_warm_up_ends_it_is_bpr(toy, backbone):
    results = []
    for build in (methods.bpr, lambda b: methods.SharpCF(b, weight=0.),
                  lambda b: methods.SharpCF(b, weight=5., warmup_epochs=6),
                  lambda b: methods.SharpCF(b, weight=5., lag=2, warmup_epochs=3)):
        torch.manual_seed(0)
        results.append(run(build(backbone(toy, dim=4)), toy))
    assert results[0] == results[1] == results[2]
    assert results[0][:3] == results[3][:3] and results[0][3] != results[3][3]


def test_reads_the_scores_of_lag_epochs_ago(toy):
    method = methods.SharpCF(MF(toy, dim=4), weight=1., lag=2, warmup_epochs=0)
    loader, seen = InteractionLoader(toy, 64), {}
    step = Step(method, lr=0.1)
    for epoch in range(6):
        step.on_epoch_start(epoch, loader)
        for batch in loader:
            with torch.no_grad():
                pos, _ = method.similarity(method.backbone.encode(batch), batch)
            slot = epoch % 2
            for k, value in zip(batch.id.tolist(), method.trajectory.score[slot, batch.id]):
                assert epoch < 2 or float(value) == seen[k, epoch - 2]
            step(batch)
            # What is kept is the score before the step.
            assert torch.equal(method.trajectory.score[slot, batch.id], pos)
            seen.update({(k, epoch): float(p) for k, p in zip(batch.id.tolist(), pos)})


def test_bad_arguments(toy):
    method = methods.SharpCF(MF(toy, dim=4), warmup_epochs=5)
    assert method.warmup_epochs == 5 and method.single_pass
    with pytest.raises(ValueError, match="'epochs' is 5, but the warm-up of .* takes 5 epochs"):
        fit(method, InteractionLoader(toy, 64), epochs=5, progress=False)
    for key in ('weight', 'lag', 'warmup_epochs'):
        with pytest.raises(ValueError, match=f"'{key}' is -1"):
            methods.SharpCF(MF(toy, dim=4), **{key: -1})
