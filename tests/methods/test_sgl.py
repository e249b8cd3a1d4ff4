import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, fit, methods
from pyg_advcf.nn import DCCF, VGAE
from pyg_advcf.training import load_safely
from pyg_advcf.transforms import EdgeDrop, RandomWalk

VIEWS = ['edge_drop', 'node_drop', 'random_walk']


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def build(backbone, *args, **kwargs):
    r"""In its first epoch."""
    method = methods.SGL(backbone, *args, **kwargs)
    method.on_epoch_start(0)
    return method


def columns(view):
    return [g.as_tensor().tolist() for g in ([view] if isinstance(view, torch.Tensor) else view)]


def test_without_weight_it_is_bpr(toy, batch):
    losses = []
    for make, kwargs in ((methods.bpr, {}), (build, {'weight': 0.})):
        torch.manual_seed(0)
        losses.append(make(LightGCN(toy, dim=4).double(), **kwargs)(batch))
    assert torch.equal(*losses)


@pytest.mark.parametrize('view', VIEWS)
@pytest.mark.parametrize('scope', ['batch', 'all'])
@pytest.mark.parametrize('size', [64, 4])  # So few that only their rows are computed.
def test_adds_the_contrast_of_the_views(toy, view, scope, size):
    batch = next(iter(InteractionLoader(toy, size)))
    backbone = LightGCN(toy, dim=4).double()
    method = build(backbone, view, 0.3, temperature=0.5, weight=0.7, scope=scope)
    first, second = (backbone(graph=graph) for graph in method.view_graphs())
    expected = methods.bpr(backbone)(batch)
    for a, b, ids in zip(first, second, (batch.user.unique(), batch.item.unique())):
        anchors = F.normalize(a[ids], dim=1) / 0.5
        others = F.normalize(b if scope == 'all' else b[ids], dim=1)
        target = ids if scope == 'all' else torch.arange(ids.numel())
        expected = expected + 0.7 * F.cross_entropy(anchors @ others.t(), target)
    assert torch.allclose(method(batch), expected, atol=1e-10)


@pytest.mark.parametrize('cls, graphs', [(EdgeDrop, 1), (RandomWalk, 3)])
def test_takes_a_view_of_ones_own(toy, batch, cls, graphs):
    class Last(cls):
        def draw(self, edge_index, num_users, num_items, generator):
            return torch.arange(edge_index.size(1))[int(self.ratio * edge_index.size(1)):]

    method = build(LightGCN(toy, dim=4).double(), Last(0.5))
    (user, item), = columns(method.backbone.graph)
    last = [side[len(user) // 2:] for side in (user, item)]
    assert [columns(view) for view in method.view_graphs()] == [[last] * graphs] * 2
    assert method(batch).isfinite()


def test_unperturbed_views_are_the_embeddings_themselves(toy, batch):
    method = build(LightGCN(toy, dim=4).double(), ratio=0.)
    z = method.backbone()
    assert torch.equal(method.backbone(graph=method.view_graphs()[0]).user, z.user)
    assert torch.allclose(method(batch), methods.bpr(method.backbone)(batch)
                          + 0.1 * method.contrast(z, z, batch), atol=1e-12)


@pytest.mark.parametrize('view', VIEWS)
def test_views_follow_from_seed_and_epoch(toy, view):
    def drawn(seed, epoch):
        method = methods.SGL(LightGCN(toy, dim=2), view, 0.3, seed=seed)
        method.on_epoch_start(epoch)
        return [columns(v) for v in method.view_graphs()]

    assert drawn(0, 3) == drawn(0, 3)
    every = [v for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1)) for v in drawn(seed, epoch)]
    assert all(a != b for i, a in enumerate(every) for b in every[:i])
    assert len(every[0]) == (3 if view == 'random_walk' else 1)
    if view == 'random_walk':
        assert every[0][0] != every[0][1] != every[0][2]


@pytest.mark.parametrize('view', VIEWS)
def test_a_resumed_run_is_the_uninterrupted_one(toy, tmp_path, view):
    ends = []
    for epochs in ((6, ), (2, 6)):
        for part in epochs:  # Each part in a process of its own, so to speak.
            torch.manual_seed(0)
            method = methods.SGL(LightGCN(toy, dim=4), view, 0.3)
            fit(Step(method, lr=0.05), InteractionLoader(toy, 64), epochs=part, evaluate_every=2,
                patience=None, checkpoint=tmp_path / f'{len(epochs)}.pt', resume=part == 6,
                progress=False)
        ends.append(load_safely(tmp_path / f'{len(epochs)}.pt', '')['step']['recommender'])
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key])
    assert set(ends[0]) == {'backbone.user_embedding.weight', 'backbone.item_embedding.weight',
                            'similarity._norm_power', 'similarity._prior'}


@pytest.mark.parametrize('backbone', [VGAE, DCCF])
@pytest.mark.parametrize('view', VIEWS)
def test_other_backbones(toy, batch, backbone, view):
    method = build(backbone(toy, dim=4), view, 0.3)
    method(batch).backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())
    assert method.num_graphs == (method.backbone.depth if view == 'random_walk' else 1)


def test_bad_arguments(toy):
    for backbone in (MF(toy, dim=2), LightGCN(toy, dim=2, num_layers=0)):
        with pytest.raises(ValueError, match="does not propagate"):
            methods.SGL(backbone)
    with pytest.raises(ValueError, match="'view' is 'edge'.*Did you mean"):
        methods.SGL(LightGCN(toy, dim=2), 'edge')
    with pytest.raises(ValueError, match="drops all of 200 edges"):
        methods.SGL(LightGCN(toy, dim=2), ratio=0.9999)
    for temperature in (0, -1):
        with pytest.raises(ValueError, match="'temperature' is"):
            methods.SGL(LightGCN(toy, dim=2), temperature=temperature)
