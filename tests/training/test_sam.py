import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, fit, methods
from pyg_advcf.training import SAM, SAMStep


def quadratic(scale=1.):
    w = torch.nn.Parameter(torch.tensor([3., 4.], dtype=torch.float64))
    curvature = torch.tensor([1., 5.], dtype=torch.float64) * scale

    def loss():
        return (curvature * w.square()).sum() / 2

    return w, curvature, loss


def closure_of(sam, loss):
    def closure():
        sam.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


@pytest.mark.parametrize('adaptive', [False, True])
def test_one_step_by_hand(adaptive):
    w, curvature, loss = quadratic()
    start = w.detach().clone()
    sam = SAM(torch.optim.SGD([w], lr=0.1), rho=0.5, adaptive=adaptive)
    value = sam.step(closure_of(sam, loss))
    grad = curvature * start
    if adaptive:
        shift = start.square() * grad * 0.5 / (start.abs() * grad).norm()
    else:
        shift = 0.5 * grad / grad.norm()
    assert torch.allclose(w, start - 0.1 * curvature * (start + shift), atol=1e-14)
    assert float(value) == float((curvature * start.square()).sum() / 2)


def test_zero_radius_is_the_optimizer_alone(toy):
    ends = []
    for make in (lambda m: Step(m, lr=0.05), lambda m: SAMStep(m, lr=0.05, rho=0.),
                 lambda m: SAMStep(m, lr=0.05, rho=0.5, warmup_epochs=1)):
        torch.manual_seed(0)
        step = make(methods.bpr(LightGCN(toy, dim=4)))
        step.on_epoch_start(0, None)
        for batch in InteractionLoader(toy, 64, seed=1):
            step(batch)
        ends.append(torch.cat([p.detach().view(-1) for p in step.recommender.parameters()]))
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])


def test_the_radius_counts_from_the_end_of_the_warm_up(toy):
    ends = []
    for warmup_epochs, epoch in ((0, 0), (2, 2), (2, 1)):
        torch.manual_seed(0)
        step = SAMStep(methods.bpr(LightGCN(toy, dim=4)), lr=0.05, rho=0.5,
                       warmup_epochs=warmup_epochs)
        step.on_epoch_start(epoch, None)
        for batch in InteractionLoader(toy, 64, seed=1):
            step(batch)
        ends.append(torch.cat([p.detach().view(-1) for p in step.recommender.parameters()]))
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_rise_of_the_loss_approaches_the_length_of_the_gradient(toy):
    method = methods.bpr(LightGCN(toy, dim=4), l2=0.).double()
    batch = next(iter(InteractionLoader(toy, 64)))
    parameters = list(method.parameters())
    loss = method(batch)
    grads = torch.autograd.grad(loss, parameters)
    length = torch.cat([g.view(-1) for g in grads]).norm()
    errors = []
    for rho in (1e-1, 1e-2, 1e-3):
        with torch.no_grad():
            for p, g in zip(parameters, grads):
                p.add_(rho * g / length)
            errors.append(abs(float((method(batch) - loss) / rho - length)))
            for p, g in zip(parameters, grads):
                p.sub_(rho * g / length)
    assert errors[1] < errors[0] / 5 and errors[2] < errors[1] / 5


def test_weights_are_restored_exactly_also_after_an_error():
    w, _, loss = quadratic()
    sam = SAM(torch.optim.SGD([w], lr=0.), rho=0.3)
    start, calls = w.detach().clone(), []
    closure = closure_of(sam, loss)
    sam.step(closure)
    assert torch.equal(w, start)

    def breaks():
        calls.append(w.detach().clone())
        if len(calls) == 2:
            raise RuntimeError('lost')
        return closure()

    with pytest.raises(RuntimeError, match='lost'):
        sam.step(breaks)
    assert torch.equal(w, start) and not torch.equal(calls[1], start)


def test_resumes_exactly(toy, tmp_path):
    ends = []
    for stops in ([6], [4, 6]):
        for epochs in stops:
            torch.manual_seed(0)
            step = SAMStep(methods.bpr(MF(toy, dim=4)), lr=0.05, rho=0.1, warmup_epochs=2)
            fit(step, InteractionLoader(toy, 64, seed=1), epochs=epochs, evaluate_every=2,
                checkpoint=tmp_path / f'{len(stops)}.pt', resume=True, progress=False)
        ends.append(step.recommender.backbone.user_embedding.weight)
    assert torch.equal(*ends)


def test_the_warm_up_is_the_longer_of_both(toy):
    for own, expected in ((0, 3), (2, 3), (5, 5)):
        step = SAMStep(methods.APR(MF(toy, dim=4), warmup_epochs=3), warmup_epochs=own)
        assert (step.sam_from, step.warmup_epochs) == (own, expected)


def test_schedulers_reach_the_optimizer():
    w, _, loss = quadratic()
    sam = SAM(torch.optim.SGD([w], lr=0.1), rho=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(sam, 1, gamma=0.5)
    sam.step(closure_of(sam, loss))
    scheduler.step()
    assert sam.optimizer.param_groups[0]['lr'] == 0.05
    v = torch.nn.Parameter(torch.ones(1))
    sam.add_param_group({'params': [v]})
    assert len(sam.param_groups) == len(sam.optimizer.param_groups) == 2
    torch.optim.lr_scheduler.OneCycleLR(SAM(torch.optim.SGD([w], 0.1, 0.9)), 0.1, total_steps=5)
    sam = SAM(torch.optim.SGD([w], lr=0.05), rho=0.1)
    other = SAM(torch.optim.SGD([w], lr=0.9), rho=0.1)
    other.load_state_dict(sam.state_dict())
    assert other.param_groups[0]['lr'] == other.optimizer.param_groups[0]['lr'] == 0.05


def test_bad_arguments(toy):
    w, _, _ = quadratic()
    with pytest.raises(ValueError, match="'rho' is -0.1"):
        SAM(torch.optim.SGD([w], lr=0.1), rho=-0.1)
    with pytest.raises(ValueError, match="SAM needs 'closure'"):
        SAM(torch.optim.SGD([w], lr=0.1)).step()
    with pytest.raises(ValueError, match=r"'recommender' \(SharpCF with BPR\) records something"):
        SAMStep(methods.SharpCF(MF(toy, dim=2)))
    with pytest.raises(ValueError, match="has an adversary, which SAMStep would leave"):
        SAMStep(methods.advinfonce(MF(toy, dim=2)))
    with pytest.raises(ValueError, match="'warmup_epochs' is -1"):
        SAMStep(methods.bpr(MF(toy, dim=2)), warmup_epochs=-1)
