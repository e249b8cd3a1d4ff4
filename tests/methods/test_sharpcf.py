import pytest
import torch
from method_tools import BACKBONES, dense, plain_losses

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, fit, methods
from pyg_advcf.nn import VGAE


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


@pytest.mark.parametrize('name', ['mf', 'lightgcn'])
@pytest.mark.parametrize('lag, warmup_epochs', [(2, 0), (1, 2), (3, 4)])
def test_loss_is_bpr_and_the_distance_from_the_scores_of_lag_epochs_ago(toy, name, lag,
                                                                         warmup_epochs):
    # A dictionary of scores by interaction and epoch, and embeddings from a dense matrix.
    method = methods.SharpCF(BACKBONES[name](toy), weight=0.7, lag=lag, l2=0.3,
                             warmup_epochs=warmup_epochs).double()
    method.trajectory.score = method.trajectory.score.double()
    loader, seen, x = InteractionLoader(toy, 64), {}, list(method.backbone.x)
    step, penalised = Step(method, lr=0.1), 0
    for epoch in range(7):
        step.on_epoch_start(epoch, loader)
        for batch in loader:
            size = batch.user.numel()
            z = dense(name, toy, x)
            expected = plain_losses(z, batch).mean()
            rows = [x[0][batch.user], x[1][batch.item], x[1][batch.neg_item]]
            expected = expected + 0.3 * sum(r.square().sum() for r in rows) / (2 * size)
            scores = (z[0][batch.user] * z[1][batch.item]).sum(1)
            for k, score in zip(batch.id.tolist(), scores):
                if epoch >= warmup_epochs and (k, epoch - lag) in seen:
                    expected = expected + 0.7 / size * (score - seen[k, epoch - lag])**2
                    penalised += 1
                seen[k, epoch] = float(score.detach())
            grads = torch.autograd.grad(expected, x)
            assert float(step(batch)) == pytest.approx(float(expected.detach()), abs=1e-10)
            for p, grad in zip(x, grads):
                assert torch.allclose(p.grad, grad, atol=1e-10)
    assert penalised == 200 * (7 - max(lag, warmup_epochs))


def test_the_penalty_of_the_backbone_is_that_of_the_embeddings_in_use(toy):
    batch, losses = next(iter(InteractionLoader(toy, 64))), []
    for beta in (0., 0.5):
        torch.manual_seed(0)
        model = VGAE(toy, dim=8, beta=beta).double()
        method = methods.SharpCF(model).double()
        method.on_epoch_start(0)
        torch.manual_seed(0)
        losses.append(method(batch))
        after = torch.rand(())  # As many draws as one pass has.
    torch.manual_seed(0)
    kl = model.kl_loss(model())
    assert torch.allclose(losses[1] - losses[0], 0.5 * kl, atol=1e-12)
    assert torch.equal(after, torch.rand(()))


def test_defaults_are_those_of_the_paper(toy):
    method = methods.SharpCF(MF(toy, dim=4))
    penalty = method.trajectory
    assert (penalty.weight, penalty.lag, penalty.warmup_epochs) == (0.1, 3, 200)
    assert method.warmup_epochs == 200 and method.l2.weight == 1e-4
    assert penalty.score.dtype == torch.float32
    half = methods.SharpCF(MF(toy, dim=4), dtype='float16')
    assert half.trajectory.score.dtype == torch.float16
    # An end before the penalty begins is an error, not BPR under another name.
    with pytest.raises(ValueError, match="'epochs' is 100, but the warm-up of .* takes 200 epochs"):
        fit(method, InteractionLoader(toy, 64), epochs=100, progress=False)


def test_bad_arguments(toy):
    method = methods.SharpCF(MF(toy, dim=4), warmup_epochs=5)
    assert method.warmup_epochs == 5 and method.single_pass
    with pytest.raises(ValueError, match="'epochs' is 5, but the warm-up of .* takes 5 epochs"):
        fit(method, InteractionLoader(toy, 64), epochs=5, progress=False)
    for key in ('weight', 'lag', 'warmup_epochs'):
        with pytest.raises(ValueError, match=f"'{key}' is -1"):
            methods.SharpCF(MF(toy, dim=4), **{key: -1})
