r"""
Write your own criterion, view and method
=========================================

Each is one class in one file. Here are three that the library does not have, tested the way the
library tests its own, and trained: a softmax loss on the hardest negatives alone, a view that thins
out popular items, and a method that joins the two.
"""
# %%
# A criterion
# -----------
#
# A criterion is a :class:`torch.nn.Module` on scores: ``pos [B]``, ``neg [B, N]``, and the batch,
# which most do not need. Excluded negatives come as :math:`-\infty`. This one is InfoNCE on the
# :math:`h` hardest negatives of each positive. ``check_scores`` complains about shapes and lifts
# half precision, :func:`~pyg_advcf.criteria.functional.infonce` does the arithmetic.
import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, LightGCN, Step, evaluate, fit, methods
from pyg_advcf.criteria import Criterion, InfoNCE, ViewInfoNCE
from pyg_advcf.criteria.criterion import check_scores
from pyg_advcf.criteria.functional import infonce
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.methods import Recommender
from pyg_advcf.metrics import interval
from pyg_advcf.nn import Cosine
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.transforms import GraphView


class HardestInfoNCE(Criterion):
    def __init__(self, num_hardest, reduction='mean'):
        super().__init__(reduction)
        if num_hardest < 1:
            raise ValueError(f"'num_hardest' is {num_hardest}, but needs to be at least 1")
        self.num_hardest = num_hardest

    def forward(self, pos, neg, batch=None):
        pos, neg = check_scores(pos, neg)
        hardest = neg.topk(min(self.num_hardest, neg.size(1)), dim=1)[0]
        return infonce(pos, hardest, self.reduction)


# %%
# What to test: identities that pin the formula down, derivatives against finite differences, and
# scores as extreme as a temperature of 0.01 makes them.
pos, neg = torch.randn(5, dtype=torch.double), torch.randn(5, 7, dtype=torch.double)
criterion = HardestInfoNCE(3)
assert torch.allclose(HardestInfoNCE(7)(pos, neg), InfoNCE()(pos, neg))  # All of them: InfoNCE.
assert criterion(pos, neg) < InfoNCE()(pos, neg)  # Fewer negatives, a smaller sum.
hardest = InfoNCE()(pos, neg.max(1, keepdim=True)[0])
assert torch.equal(HardestInfoNCE(1)(pos, neg), hardest)
assert torch.autograd.gradcheck(criterion, (pos.requires_grad_(), neg.requires_grad_()))
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    assert criterion(pos.sign().to(dtype) * 100, neg.sign().to(dtype) * 100).isfinite()


# %%
# A view
# ------
#
# A view of the training graph says which edges stay; the base class does the rest: the ratio, the
# seed, the use as a transform of :class:`~torch_geometric.data.HeteroData`, and the graphs that a
# backbone propagates over. Here an interaction with an item of degree :math:`d` stays with a weight
# of :math:`d^{-1/2}`: the Gumbel trick draws exactly as many as are wanted, without replacement.
class PopularityDrop(GraphView):
    def draw(self, edge_index, num_users, num_items, generator):
        degree = torch.bincount(edge_index[1], minlength=num_items)[edge_index[1]]
        uniform = torch.rand(edge_index.size(1), generator=generator)
        key = -0.5 * degree.log() - (-uniform.log()).log()
        return key.topk(int((1 - self.ratio) * edge_index.size(1)))[1].sort()[0]


data = SyntheticExposure(num_users=1000, num_items=400)[0]
for cls in (methods.sgl.VIEWS['edge_drop'], PopularityDrop):
    left = torch.bincount(cls(0.5)(data)['user', 'interacts', 'item'].edge_index[1], minlength=400)
    whole = torch.bincount(data['user', 'interacts', 'item'].edge_index[1], minlength=400)
    popular = whole.argsort(descending=True)[:40]
    print(f'{cls.__name__:<15} {left.sum() / whole.sum():.0%} of all interactions, '
          f'{left[popular].sum() / whole[popular].sum():.0%} of the most popular tenth of items')


# %%
# A view fits wherever the library takes one: ``methods.SGL(backbone, data,
# view=PopularityDrop(0.3))``.
#
# A method
# --------
#
# A method joins a backbone, a similarity and a criterion; ``forward(batch)`` is its loss. What
# changes from epoch to epoch follows from the seed and the epoch, so that an interrupted run that
# is resumed ends as it would have without. Buffers move with the module. ``needs_layers`` says over
# which backbones it runs, and the name puts it into the registry, which the command line, the
# generated tables and the tests over all methods read.
@METHODS.register('thinned')
class Thinned(Recommender):
    needs_layers = True

    def __init__(self, backbone, data, temperature=0.5, num_hardest=32, ratio=0.3, weight=0.05,
                 l2=1e-5, seed=0):
        super().__init__(backbone, Cosine(temperature), HardestInfoNCE(num_hardest), l2)
        self.view, self.contrast = PopularityDrop(ratio), ViewInfoNCE(temperature)
        self.weight, self.seed = weight, seed
        self.on_epoch_start(0)

    def on_epoch_start(self, epoch):
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        graph, = self.view.graphs(self.backbone.graph, generator=generator)
        self.register_buffer('thin', graph, persistent=False)

    def forward(self, batch):
        z = self.backbone()
        loss = self.criterion(*self.similarity(z, batch), batch)
        loss = loss + self.weight * self.contrast(z, self.backbone(graph=self.thin), batch)
        return self.regularised(loss, batch, z)


print('runs over', [name for name, cls in BACKBONES.items() if Thinned.supports(cls)])


# %%
# Does it help?
# -------------
#
# ``fit`` stops by validation. The test sets: one with the skewed exposure of training, one whose
# exposure was uniform. Each part is also left out, so that what it does can be told apart. Three
# seeds, so the intervals are wide, and still they say that it does not help: the hardest negatives
# alone lose to all of them, and the thinned view makes no difference. Most ideas end like this; the
# control beside them is what tells.
def train(build, seed):
    seed_everything(seed)
    method = build(LightGCN(data, dim=64, num_layers=2))
    fit(Step(method, lr=5e-3), InteractionLoader(data, 1024, num_neg=64, seed=seed), epochs=60,
        patience=4, progress=False)
    return evaluate(method, data, k=20)


builds = {
    'InfoNCE': lambda backbone: methods.InfoNCE(backbone, data, temperature=0.5),
    'thinned, weight 0': lambda backbone: Thinned(backbone, data, weight=0.),
    'thinned, all negatives': lambda backbone: Thinned(backbone, data, num_hardest=64),
    'thinned': lambda backbone: Thinned(backbone, data),
}
found = {name: [train(build, seed) for seed in range(3)] for name, build in builds.items()}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout='constrained', sharey=True)
for ax, split in zip(axes, ('test_iid', 'test_ood')):
    for place, (name, results) in enumerate(found.items()):
        mean, half = interval([r[split]['recall@20'] for r in results])
        ax.errorbar(mean, place, xerr=half, marker='o', capsize=3)
        print(f'{split:<9} {name:<23} {mean:.4f} ± {half:.4f}')
    ax.set_title({'test_iid': 'exposure of training', 'test_ood': 'uniform exposure'}[split])
    ax.set_xlabel('Recall@20')
axes[0].set_yticks(range(len(found)), found)
plt.show()
