import re

import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    SAMStep,
    Step,
    criteria,
    fit,
    interaction_data,
    methods,
)
from pyg_advcf.training import BilevelStep
from pyg_advcf.training.signature import differences, signature
from pyg_advcf.transforms import EdgeDrop, FastGradient, RandomSplit


def parts(toy, **changes):
    r"""A run of Recommender over LightGCN; changes name what is made otherwise."""
    backbone = changes.get('backbone', lambda d: LightGCN(d, dim=4, num_layers=2))(toy)
    criterion = changes.get('criterion', criteria.InfoNCE)()
    similarity = changes.get('similarity', lambda: Cosine(0.2))()
    method = changes.get('method', lambda b: Recommender(b, criterion, similarity, 1e-4))(backbone)
    step = changes.get('step', lambda m: Step(m, lr=0.01))(method)
    return step, changes.get('loader', lambda d: InteractionLoader(d, 64, 4))(toy)


def run(toy, path, resume=True, **changes):
    options = {'epochs': 2, 'evaluate_every': 1, **changes.pop('fit', {})}
    return fit(*parts(toy, **changes), checkpoint=path, resume=resume, progress=False, **options)


CHANGES = {
    'backbone is MF, the checkpoint has LightGCN': dict(backbone=lambda d: MF(d, dim=4)),
    'backbone.num_layers is 3, the checkpoint has 2':
        dict(backbone=lambda d: LightGCN(d, dim=4, num_layers=3)),
    'backbone.dim is 5, the checkpoint has 4':
        dict(backbone=lambda d: LightGCN(d, dim=5, num_layers=2)),
    "backbone.init is 'normal_0.1', the checkpoint has 'xavier_normal'":
        dict(backbone=lambda d: LightGCN(d, dim=4, num_layers=2, init='normal_0.1')),
    'criterion is BPR, the checkpoint has InfoNCE': dict(criterion=criteria.BPR),
    "criterion.reduction is 'sum', the checkpoint has 'mean'":
        dict(criterion=lambda: criteria.InfoNCE('sum')),
    'similarity.temperature is 0.1, the checkpoint has 0.2': dict(similarity=lambda: Cosine(0.1)),
    'recommender.l2 is 0.001, the checkpoint has 0.0001':
        dict(method=lambda b: Recommender(b, criteria.InfoNCE(), Cosine(0.2), 1e-3)),
    'step.lr is 0.0001, the checkpoint has 0.01': dict(step=lambda m: Step(m, lr=1e-4)),
    'step is SAMStep, the checkpoint has Step': dict(step=lambda m: SAMStep(m, lr=0.01)),
    'step.optimizer is SGD, the checkpoint has none':
        dict(step=lambda m: Step(m, 0.01, lambda p: torch.optim.SGD(p, lr=0.1))),
    'loader.batch_size is 32, the checkpoint has 64':
        dict(loader=lambda d: InteractionLoader(d, 32, 4)),
    'loader.num_neg is 5, the checkpoint has 4': dict(loader=lambda d: InteractionLoader(d, 64, 5)),
    "loader.negatives is 'popularity', the checkpoint has 'uniform'":
        dict(loader=lambda d: InteractionLoader(d, 64, 4, negatives='popularity')),
    'loader.seed is 1, the checkpoint has 0':
        dict(loader=lambda d: InteractionLoader(d, 64, 4, seed=1)),
    "fit.monitor is 'ndcg@5', the checkpoint has 'recall@20'": dict(fit={'monitor': 'ndcg@5'}),
    'fit.patience is None, the checkpoint has 20': dict(fit={'patience': None}),
    'fit.evaluate_every is 2, the checkpoint has 1': dict(fit={'evaluate_every': 2}),
    'fit.select_from is 1, the checkpoint has 0': dict(fit={'select_from': 1}),
}


@pytest.mark.parametrize('message', CHANGES)
def test_every_change_is_named(toy, tmp_path, message):
    path = tmp_path / 'run.pt'
    run(toy, path)
    run(toy, path, fit={'epochs': 3})  # The same, and longer.
    content = path.read_bytes()
    with pytest.raises(ValueError) as info:
        run(toy, path, **CHANGES[message], **({} if 'fit' in CHANGES[message]
                                              else {'fit': {'epochs': 4}}))
    assert str(info.value) == (
        f"the checkpoint '{path}' is of another experiment: {message}; delete it, or pass "
        f"resume='weights' to start anew from its weights")
    assert path.read_bytes() == content


def test_the_same_data_split_again(toy, tmp_path):
    r"""Training pairs of the first split are test pairs of the second."""
    pairs = toy[EDGE_TYPE].edge_index
    whole = interaction_data(pairs, 30, 40)
    first, second = (RandomSplit(val=0.1, test=0.2, seed=seed)(whole) for seed in (0, 1))
    run(first, tmp_path / 'run.pt')
    with pytest.raises(ValueError, match="experiment: the training interactions differ; the split "
                       "'test' differs; the split 'val' differs; delete it"):
        run(second, tmp_path / 'run.pt', fit={'epochs': 3})


@pytest.mark.parametrize('change, message', [
    (dict(val=torch.tensor([[0], [1]])), "the split 'val' differs"),
    (dict(test=torch.tensor([[0], [1]])), "the checkpoint has no split 'test'"),
    (dict(test_ood=None), "there is no split 'test_ood', which the checkpoint has"),
])
def test_splits(toy, change, message):
    splits = {'val': torch.tensor([[0], [0]]), 'test_ood': torch.tensor([[3], [3]])}
    pairs = toy[EDGE_TYPE].edge_index
    one, other = (signature(*parts(interaction_data(
        pairs, 30, 40, **{k: v for k, v in s.items() if v is not None})))
        for s in (splits, {**splits, **change}))
    assert differences(other, one) == [message]


def test_the_order_of_interactions_and_the_candidates_count(toy):
    one = signature(*parts(toy))
    toy[EDGE_TYPE].edge_index = toy[EDGE_TYPE].edge_index.flip(1)
    assert differences(signature(*parts(toy)), one) == ['the training interactions differ']
    toy[EDGE_TYPE].edge_index = toy[EDGE_TYPE].edge_index.flip(1).int()
    assert differences(signature(*parts(toy)), one) == []  # In another width of ids the same.
    toy['item'].candidate_mask = torch.arange(40) < 39
    assert differences(signature(*parts(toy)), one) == ['the candidate mask differs']


def test_several_differences_at_once(toy):
    one = signature(*parts(toy), patience=5)
    other = signature(*parts(toy, backbone=lambda d: MF(d, dim=4),
                             step=lambda m: Step(m, lr=0.1)), patience=6)
    assert differences(other, one) == [
        'backbone is MF, the checkpoint has LightGCN', 'step.lr is 0.1, the checkpoint has 0.01',
        'fit.patience is 6, the checkpoint has 5']


def test_optimizers_of_ones_own(toy):
    def of(build):
        return signature(*parts(toy, step=lambda m: Step(m, 0.01, build)))

    sgd = of(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
    assert differences(of(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8)), sgd) == [
        'step.optimizer.momentum is 0.8, the checkpoint has 0.9']
    assert differences(of(lambda p: torch.optim.AdamW(p, lr=0.1)), sgd) == [
        'step.optimizer is AdamW, the checkpoint has SGD']
    assert differences(of(lambda p: torch.optim.SGD(p, 0.1, 0.9)), sgd) == []  # Other function.
    grouped = of(lambda p: torch.optim.SGD([{'params': p[:1]}, {'params': p[1:], 'lr': 0.2}], 0.1))
    other = of(lambda p: torch.optim.SGD([{'params': p[:1]}, {'params': p[1:], 'lr': 0.3}], 0.1))
    assert differences(other, grouped)

    step, loader = parts(toy, step=lambda m: Step(m, 0.01, lambda p: torch.optim.SGD(p, 0.1, 0.9)))
    scheduler = torch.optim.lr_scheduler.StepLR(step.updater.optimizer, 1, 0.5)
    step.updater.optimizer.step()
    scheduler.step()
    assert step.updater.optimizer.param_groups[0]['lr'] == 0.05
    assert differences(signature(step, loader), sgd) == []  # What it began with.


@pytest.mark.parametrize('one, other, message', [
    (lambda m: MinMaxStep(m), lambda m: MinMaxStep(m, interval=3),
     'step.interval is 3, the checkpoint has 5'),
    (lambda m: MinMaxStep(m), lambda m: MinMaxStep(m, adversary_lr=0.1),
     'step.adversary_lr is 0.1, the checkpoint has 0.0001'),
])
def test_steps_with_an_adversary(toy, one, other, message):
    found = [signature(*parts(toy, method=methods.advinfonce, step=s)) for s in (one, other)]
    assert differences(*found[::-1]) == [message]


def test_bilevel_steps(toy):
    data = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    found = [signature(*parts(data, method=methods.ACCF, step=lambda m, size=size: BilevelStep(
        m, InteractionLoader(data, size, split='outer')))) for size in (8, 9)]
    assert differences(*found[::-1]) == [
        'step.outer_loader.batch_size is 9, the checkpoint has 8']


def test_views_and_perturbations_of_methods(toy):
    def of(build):
        return signature(*parts(toy, method=build))

    assert differences(of(lambda b: methods.SGL(b, view=EdgeDrop(0.3))),
                       of(lambda b: methods.SGL(b, view=EdgeDrop(0.2)))) == [
        'recommender.view.ratio is 0.3, the checkpoint has 0.2']
    assert differences(of(lambda b: methods.APR(b, perturbation=FastGradient(0.1))),
                       of(methods.APR)) == [
        'recommender.perturbation is FastGradient, the checkpoint has None']


def test_precision_and_frozen_parameters(toy):
    def frozen(method):
        method.backbone.item_embedding.weight.requires_grad_(False)
        return Step(method, lr=0.01)

    one = signature(*parts(toy))
    (message, ) = differences(signature(*parts(toy, step=frozen)), one)
    assert re.match(r"weights.backbone.item_embedding.weight is 'torch.float32 \[40, 4\]', the ch"
                    r"eckpoint has 'torch.float32 \[40, 4\] trained'", message)
    assert len(differences(signature(*parts(toy, method=lambda b: Recommender(
        b, criteria.InfoNCE(), Cosine(0.2), 1e-4).double())), one)) == 2


def test_a_criterion_that_is_not_ours(toy):
    class Plain(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.net = torch.nn.Linear(width, 1)

        def forward(self, pos, neg, batch):
            return (self.net.weight.sum() * neg.mean() - pos.mean()).square()

    one, other = (signature(*parts(toy, criterion=lambda w=w: Plain(w))) for w in (2, 3))
    assert any('criterion.modules' in text for text in differences(other, one))
    assert differences(one, signature(*parts(toy, criterion=lambda: Plain(2)))) == []


def test_fewer_epochs_than_the_checkpoint_has(toy, tmp_path):
    run(toy, tmp_path / 'run.pt', fit={'epochs': 3})
    with pytest.raises(ValueError, match="'epochs' is 2, but the checkpoint .* has 3 epochs"):
        run(toy, tmp_path / 'run.pt')


def test_starting_anew_from_weights(toy, tmp_path):
    path = tmp_path / 'run.pt'
    run(toy, path, fit={'epochs': 4})
    state = torch.load(path, weights_only=True)
    starts = []

    class Recording(Step):
        def __call__(self, batch):
            starts.append({k: v.clone() for k, v in self.recommender.state_dict().items()})
            return super().__call__(batch)

    step, loader = parts(toy, step=lambda m: Recording(m, lr=1e-4))
    history = fit(step, loader, epochs=2, evaluate_every=1, checkpoint=path, resume='weights',
                  progress=False)
    assert [record['epoch'] for record in history.epochs] == [0, 1]
    assert all(torch.equal(starts[0][k], v) for k, v in state['best'].items())
    assert int(step.updater.optimizer.state_dict()['state'][0]['step']) == 2 * len(loader)
    # From then on it is a checkpoint of the new run, which resumes as usual.
    fit(*parts(toy, step=lambda m: Recording(m, lr=1e-4)), epochs=3, evaluate_every=1,
        checkpoint=path, resume=True, progress=False)


def test_without_validation_the_last_weights_are_taken(toy, tmp_path):
    del toy[EDGE_TYPE]['val_edge_label_index']
    method = methods.bpr(MF(toy, dim=4))
    path = tmp_path / 'run.pt'
    fit(method, InteractionLoader(toy, 64), epochs=2, checkpoint=path, progress=False)
    other = methods.bpr(MF(toy, dim=4))
    fit(Step(other, optimizer=lambda p: torch.optim.SGD(p, lr=1e-30)), InteractionLoader(toy, 64),
        epochs=1, checkpoint=path, resume='weights', progress=False)
    assert torch.equal(method.backbone.x.user, other.backbone.x.user)


def test_weights_that_do_not_fit(toy, tmp_path):
    path = tmp_path / 'run.pt'
    run(toy, path)
    step, loader = parts(toy, backbone=lambda d: LightGCN(d, dim=5))
    before = step.recommender.backbone.x.user.clone()
    with pytest.raises(ValueError, match=r"do not fit: 'backbone.user_embedding.weight' is \[30, 5"
                       r"\], the checkpoint has \[30, 4\]; .*delete it"):
        fit(step, loader, epochs=2, checkpoint=path, resume='weights', progress=False)
    assert torch.equal(before, step.recommender.backbone.x.user)
    with pytest.raises(ValueError, match=r"'criterion.hardness.user.weight' is .* has none"):
        run(toy, path, 'weights', method=methods.advinfonce, step=MinMaxStep)
    with pytest.raises(ValueError, match="'resume' is 'weights', but there is no file '.*none.pt'"):
        run(toy, tmp_path / 'none.pt', 'weights')
