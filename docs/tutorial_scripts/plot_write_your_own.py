r"""
Write your own criterion, view and method
=========================================

A new method that scores pairs is a criterion, its test, and one line. A new method with contrastive
views is one hook, ``views``, and its test. Here is one of each that the library does not have, both
tested as the library tests its own, and trained: a softmax loss on the hardest negatives alone, and
a contrast with a graph from which mostly popular items lose interactions.
"""
# %%
# A criterion
# -----------
#
# A :class:`~pyg_advcf.criteria.Criterion` turns the scores of the positives, ``pos [B]``, and of
# the negatives, ``neg [B, N]``, into a loss. A subclass computes the loss of every row; the base
# class checks the shapes, computes in float32 where the scores have half precision, and takes the
# mean. Excluded negatives have the score :math:`-\infty`. This criterion is InfoNCE on the
# :math:`h` hardest negatives of each positive.
import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything

from pyg_advcf import MF, InteractionLoader, LightGCN, evaluate, fit, methods
from pyg_advcf.criteria import Criterion, InfoNCE, ViewInfoNCE
from pyg_advcf.criteria.functional import infonce
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.methods import Recommender, ViewRecommender
from pyg_advcf.metrics import interval
from pyg_advcf.nn import Cosine
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import EdgeDrop, GraphView


class HardestInfoNCE(Criterion):
    def __init__(self, num_hardest, reduction='mean'):
        super().__init__(reduction)
        self.num_hardest = num_hardest

    def row_losses(self, pos, neg, batch):
        hardest = neg.topk(min(self.num_hardest, neg.size(1)), dim=1)[0]
        return infonce(pos, hardest, reduction='none')


# %%
# The test: identities that determine the formula, derivatives against finite differences, and
# scores as extreme as a temperature of 0.01 makes them.
pos, neg = torch.randn(5, dtype=torch.double), torch.randn(5, 7, dtype=torch.double)
criterion = HardestInfoNCE(3)
assert torch.allclose(HardestInfoNCE(7)(pos, neg), InfoNCE()(pos, neg))  # All negatives: InfoNCE.
assert criterion(pos, neg) < InfoNCE()(pos, neg)  # Fewer negatives, a smaller sum.
hardest = InfoNCE()(pos, neg.max(1, keepdim=True)[0])
assert torch.equal(HardestInfoNCE(1)(pos, neg), hardest)
assert torch.autograd.gradcheck(criterion, (pos.requires_grad_(), neg.requires_grad_()))
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    assert criterion(pos.sign().to(dtype) * 100, neg.sign().to(dtype) * 100).isfinite()

# %%
# The method is one line: a backbone, the criterion, and the similarity whose scores it gets. The
# similarity also ranks, so training and evaluation agree.
data = SyntheticExposure(num_users=1000, num_items=400)[0]
method = Recommender(LightGCN(data, dim=64), HardestInfoNCE(32), Cosine(0.5), l2=1e-5)

# %%
# A second line gives it a name, by which the tables of this documentation, the benchmarks and the
# tests over all methods find it.
METHODS.register('hardest')(
    lambda backbone, h=32: Recommender(backbone, HardestInfoNCE(h), Cosine(0.5), l2=1e-5))


# %%
# A view of the graph
# -------------------
#
# A view of the training graph chooses the edges to keep; the base class does everything else: the
# ratio, the seed, the use as a transform of :class:`~torch_geometric.data.HeteroData`, and the
# graphs that a backbone propagates over. Here an interaction with an item of degree :math:`d` is
# kept with a weight of :math:`d^{-1/2}`: the Gumbel trick draws exactly as many as are wanted,
# without replacement.
class PopularityDrop(GraphView):
    def draw(self, edge_index, num_users, num_items, generator):
        degree = torch.bincount(edge_index[1], minlength=num_items)[edge_index[1]]
        uniform = torch.rand(edge_index.size(1), generator=generator)
        key = -0.5 * degree.log() - (-uniform.log()).log()
        return key.topk(int((1 - self.ratio) * edge_index.size(1)))[1].sort()[0]


for cls in (EdgeDrop, PopularityDrop):
    left = torch.bincount(cls(0.5)(data)['user', 'interacts', 'item'].edge_index[1], minlength=400)
    whole = torch.bincount(data['user', 'interacts', 'item'].edge_index[1], minlength=400)
    popular = whole.argsort(descending=True)[:40]
    print(f'{cls.__name__:<15} keeps {left.sum() / whole.sum():.0%} of all interactions, '
          f'{left[popular].sum() / whole[popular].sum():.0%} of the most popular tenth of items')


# %%
# Such a view can be used wherever the library takes one: ``methods.SGL(backbone,
# view=PopularityDrop(0.3))``.
#
# A method with contrastive views
# -------------------------------
#
# A :class:`~pyg_advcf.methods.ViewRecommender` adds a contrast between views to a ranking loss. A
# subclass says in ``views`` which embeddings are ranked, and which pairs of embeddings are
# contrasted. ``self.encoder(batch)`` computes the embeddings that a batch reads; it takes another
# graph as a keyword. ``requires`` names what the backbone has to have. The view is drawn from the
# generator of PyTorch, whose state is in every checkpoint, so that a resumed run draws the same.
@METHODS.register('thinned')
class Thinned(ViewRecommender):
    def __init__(self, backbone, num_hardest=32, temperature=0.5, ratio=0.3, weight=0.05, l2=1e-5):
        super().__init__(backbone, ViewInfoNCE(temperature), weight, HardestInfoNCE(num_hardest),
                         Cosine(temperature), l2, requires=['graph'])
        self.view = PopularityDrop(ratio, generator=torch.default_generator)

    def views(self, batch):
        encode = self.encoder(batch)
        thinned, = self.view.graphs(self.backbone.graph)
        z = encode()
        return z, [(z, encode(graph=thinned))]


# %%
# The test: the loss is the sum of its parts, a view that drops nothing is no other view, and a
# backbone without a graph is an error that says what to use instead.
batch = next(iter(InteractionLoader(data, 256, num_neg=64)))
method = Thinned(LightGCN(data, dim=8, num_layers=2), weight=0.5)
seed_everything(1)
loss = method(batch)
seed_everything(1)
z, [(first, second)] = method.views(batch)
parts = method.ranking_loss(z, batch), method.contrast(first, second, batch)
assert torch.allclose(loss, parts[0] + 0.5 * parts[1] + method.penalty(batch, z))
assert not torch.allclose(first.users(batch.user), second.users(batch.user))
_, [(first, second)] = Thinned(LightGCN(data, dim=8, num_layers=2), ratio=0.).views(batch)
assert torch.allclose(first.users(batch.user), second.users(batch.user))
try:
    Thinned(MF(data, dim=8))
except methods.UnsupportedBackbone as error:
    print(error)


# %%
# Do they help?
# -------------
#
# ``fit`` stops by validation. One test set has the skewed exposure of training, the other one
# uniform exposure. Each part is also left out, so that its effect can be seen. Three seeds make
# wide intervals. Neither part helps: with the hardest negatives alone both test sets come out
# lower, and the thinned graph makes no difference beyond the intervals. Most ideas end like this,
# and a control is what shows it.
def train(build, seed):
    seed_everything(seed)
    method = build(LightGCN(data, dim=64, num_layers=2))
    fit(method, InteractionLoader(data, 1024, num_neg=64, seed=seed), epochs=60, lr=5e-3,
        patience=4, progress=False)
    return evaluate(method, data, k=20)


builds = {
    'InfoNCE': lambda backbone: methods.infonce(backbone, temperature=0.5),
    'hardest': METHODS['hardest'],
    'thinned, all negatives': lambda backbone: Thinned(backbone, num_hardest=64),
    'thinned, hardest': METHODS['thinned'],
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
