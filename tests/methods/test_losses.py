r"""What the methods on scores compute, also from a part of the model."""
import copy

import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, Batch, InteractionLoader, LightGCN
from pyg_advcf.registry import METHODS

DOT = ('hinge', 'warp')
ON_SCORES = ('adaptau', 'bc', 'bsl', 'ccl', 'dcl', 'hinge', 'infol1o', 'sdro', 'supcon', 'warp')


def make(name, backbone, data):
    method = METHODS[name](backbone(data, dim=8), data, l2=0.)
    method.on_epoch_start(100)
    return method


@pytest.fixture(params=[(30, 40, 'all'), (300, 400, 'few')], ids=lambda p: p[2])
def data(request, toy_factory):
    # Among many users and items, a backbone computes only the rows that the batch names.
    users, items, _ = request.param
    return toy_factory(users, items, 5 * users, held_out=False)


@pytest.mark.parametrize('backbone', [MF, LightGCN])
@pytest.mark.parametrize('name', ON_SCORES)
def test_is_the_criterion_on_scores(data, backbone, name):
    method = make(name, backbone, data)
    batch = next(iter(InteractionLoader(data, 20, 4, sampler='user')))
    batch = batch._replace(user=batch.user.clone())
    criterion, z = copy.deepcopy(method.criterion), method.backbone()
    ids = torch.cat([batch.item.view(-1, 1), batch.neg_item], dim=1)
    u, j = z.user[batch.user].unsqueeze(1), z.item[ids]
    scores = ((u * j).sum(-1) if name in DOT
              else F.cosine_similarity(u, j, dim=-1) / method.similarity.temperature)
    expected = criterion(scores[:, 0], scores[:, 1:], batch)
    if name == 'bc':
        expected = expected / 2
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5)
    for a, b in zip(torch.autograd.grad(found, method.backbone.x[:2]),
                    torch.autograd.grad(expected, method.backbone.x[:2])):
        assert torch.allclose(a, b, atol=1e-5)
    for a, b in zip(method.criterion.buffers(), criterion.buffers()):
        assert torch.allclose(a, b, atol=1e-5)  # Recorded under the ids of the whole data.


@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_directau(data, backbone):
    method = make('directau', backbone, data)
    batch = next(iter(InteractionLoader(data, 20, 1)))
    assert torch.allclose(method(batch), method.criterion(method.backbone(), batch), atol=1e-5)
    other = batch._replace(neg_item=(batch.neg_item + 1) % data['item'].num_nodes)
    assert torch.allclose(method(batch), method(other), atol=1e-5)


@pytest.mark.parametrize('backbone', [MF, LightGCN])
@pytest.mark.parametrize('shared', [False, True])
def test_invcf(data, backbone, shared):
    kwargs = {'popularity': 0.5, 'independence': 0.5, 'invariance': 0.5, 'l2': 0.}
    method = METHODS['invcf'](backbone(data, dim=8), data, **kwargs)
    negatives = 'in_batch' if shared else 'uniform'
    batch = next(iter(InteractionLoader(data, 20, 4, negatives=negatives)))
    p = method.backbone(x=method.popularity())
    torch.manual_seed(3)
    expected = method.criterion(method.backbone(), p, batch)
    torch.manual_seed(3)
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5)
    parameters = list(method.parameters())
    assert len(parameters) == 4
    for a, b in zip(torch.autograd.grad(found, parameters),
                    torch.autograd.grad(expected, parameters)):
        assert torch.allclose(a, b, atol=1e-5) and a.ne(0).any()


@pytest.mark.parametrize('backbone', [MF, LightGCN])
@pytest.mark.parametrize('name', ['bir', 'xir'])
def test_resampled_negatives_are_those_of_the_batch(data, backbone, name):
    method = make(name, backbone, data)
    if name == 'xir':
        method.criterion.cache = method.criterion.cache[:50]
    batch = next(iter(InteractionLoader(data, 20, 3)))
    criterion, z = copy.deepcopy(method.criterion), method.backbone()
    pool = batch.item if name == 'bir' else torch.cat([batch.item, criterion.cache])
    known = {tuple(p) for p in method.backbone.graph.as_tensor().t().tolist()}
    mask = torch.tensor([[(u, i) not in known for i in pool.tolist()] for u in batch.user.tolist()])
    u = z.user[batch.user]
    neg = (u @ z.item[pool].t()).masked_fill(~mask, float('-inf'))
    torch.manual_seed(3)
    expected = criterion((u * z.item[batch.item]).sum(1), neg, batch._replace(neg_item=pool))
    torch.manual_seed(3)
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5) and found > 0
    assert torch.equal(method.criterion.state_dict().get('cache', pool),
                       criterion.state_dict().get('cache', pool))
    # Whatever the loader draws: in-batch negatives are the same ones.
    known_to_loader = InteractionLoader(data, 20, negatives='in_batch').collate(batch.id)
    for one in (criterion, method.criterion):
        one.eval()
    method.criterion.load_state_dict(criterion.state_dict())
    losses = []
    for other in (batch, known_to_loader):
        torch.manual_seed(4)
        losses.append(method(other))
    assert torch.allclose(*losses)


def test_xir_counts_anew_every_epoch(toy):
    method = METHODS['xir'](MF(toy, dim=8), toy, cache_size=16)
    for batch in InteractionLoader(toy, 64):
        method(batch)
    cache = method.criterion.cache.clone()
    assert method.criterion.drawn.sum() > 0
    method.on_epoch_start(1)
    assert method.criterion.drawn.sum() == 0 and torch.equal(method.criterion.cache, cache)


def test_sdro_reads_the_groups_off_the_data(toy):
    method = METHODS['sdro'](MF(toy, dim=8), toy)
    assert method.criterion.group.unique().numel() > 1
    given = torch.arange(30) % 4
    assert torch.equal(METHODS['sdro'](MF(toy, dim=8), toy, group=given).criterion.group, given)


def test_batches_may_be_plain_tensors(toy):
    batch = Batch(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([[3], [4]]),
                  torch.tensor([0, 1]))
    for name in (*ON_SCORES, 'bir', 'directau', 'invcf', 'xir'):
        assert make(name, MF, toy)(batch).isfinite()
