r"""
Adversarial views, random views and learned weights under noise
================================================================

Clicks by mistake, gifts, and bots: some interactions say nothing about taste. Contrastive methods
require that an embedding stay similar under a perturbation, so that it depends less on any single
interaction. They differ in the perturbation:

* **Random views** (SimGCL, XSimGCL) add noise of a given length to the embeddings.
* **Adversarial views** (ACCF) move the tables by the same length in the direction that raises the
  ranking loss most: :math:`\Delta = \epsilon\, \nabla L / \|\nabla L\|`, row by row.

ACCF can also learn a *weight* of every training triplet, from interactions that were held out: a
triplet gains weight if learning from it lowers the held-out loss.
"""
# %%
import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything

from pyg_advcf import (
    EDGE_TYPE,
    BilevelStep,
    InteractionLoader,
    LightGCN,
    evaluate,
    fit,
    methods,
)
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.diagnostics import weight_report
from pyg_advcf.transforms import AddInteractionNoise, RandomNoise, RandomSplit

clean = SyntheticExposure(num_users=1000, num_items=400)[0]
VIEWS = dict(adversarial_weight=0.1, contrast_weight=0.02, temperature=0.5, epsilon=0.2, l2=1e-3)


def backbone(data):
    return LightGCN(data, dim=64, num_layers=2)


builders = {
    'LightGCN': lambda data: methods.bpr(backbone(data), l2=1e-3),
    'random view': lambda data: methods.ACCF(
        backbone(data), perturbation=RandomNoise(0.2), weighting='none', **VIEWS),
    'adversarial view': lambda data: methods.ACCF(backbone(data), weighting='none', **VIEWS),
}

# %%
# Twenty epochs each, on the data as they are and with 20 % false interactions in the training
# graph. Validation and test stay clean, and no false interaction is one of theirs.
trained = {}
for ratio in (0., 0.2):
    data = AddInteractionNoise(ratio)(clean)
    for name, build in builders.items():
        seed_everything(0)
        method = build(data)
        fit(method, InteractionLoader(data, 1024, seed=0), epochs=20, lr=5e-3, patience=None,
            progress=False)
        test = evaluate(method, data, k=10)
        trained[name, ratio] = {split: values['ndcg@10'] for split, values in test.items()}
        print(f'{ratio:4.0%} {name:>16}: NDCG@10 '
              + ', '.join(f'{split} {v:.4f}' for split, v in trained[name, ratio].items()))

# %%
# What each loses by the noise, on a test set with the exposure of the training data (`test_iid`)
# and on one with uniform exposure (`test_ood`). The contrast makes recommendations less popular:
# that costs on the first test set and gains on the second. One seed on small synthetic data is an
# illustration; a comparison, on real data, is on the page of results.
for name in builders:
    before, after = trained[name, 0.], trained[name, 0.2]
    print(f'{name:>16}: ' + ', '.join(f'{split} {after[split] / before[split] - 1:+.1%}'
                                      for split in before))

# %%
# Adversarial and random perturbations
# ------------------------------------
#
# Both have the same length, but another direction. How much does the loss of one batch rise?
data = AddInteractionNoise(0.2)(clean)
seed_everything(0)
method = methods.ACCF(backbone(data), weighting='none', **VIEWS)
fit(method, InteractionLoader(data, 1024, seed=0), epochs=10, lr=5e-3, patience=None,
    progress=False)
batch = next(iter(InteractionLoader(data, 1024, seed=1)))
for name, perturbation in (('adversarial', method.perturbation), ('random', RandomNoise(0.2))):
    method.perturbation = perturbation
    with torch.no_grad():
        found = method.perturb(batch)
        before, after = (method.ranking_loss(z, batch) for z in (found.z, found.z_adv))
    print(f'{name:>12}: BPR {before:.4f} -> {after:.4f}')

# %%
# What the weights learn
# ----------------------
#
# A tenth of the training interactions is held out of the graph, for the outer problem. Before every
# other step of the recommender the weights take one, by the gradient of the held-out loss *after*
# the recommender's next step.
split = RandomSplit(val=0., outer=0.1, per_user=False)(data)
seed_everything(0)
method = methods.ACCF(backbone(split), weighting='bilevel', **VIEWS)
step = BilevelStep(method, InteractionLoader(split, 1024, split='outer'), every=2, lr=5e-3,
                   outer_lr=5e-3)
reports = []
fit(step, InteractionLoader(split, 1024, seed=0), epochs=20, evaluate_every=2, patience=None,
    progress=False, track=lambda: reports.append(weight_report(method, split)) or {})

# %%
# Weights average 1. Do they come to prefer easy triplets or hard ones, popular items or rare ones,
# and do they find the false interactions?
fig, axes = plt.subplots(1, 3, figsize=(10, 3), layout='constrained', sharey=True)
epochs = range(2, 21, 2)
for ax, key, labels in (
        (axes[0], 'by_loss', ('easiest quarter', '2', '3', 'hardest quarter')),
        (axes[1], 'by_popularity', ('rarest quarter', '2', '3', 'most popular quarter'))):
    for group, label in enumerate(labels):
        ax.plot(epochs, [r[key][group] for r in reports], label=label)
    ax.legend(fontsize='small')
share = split[EDGE_TYPE].injected.float().mean()
axes[2].plot(epochs, [r['of_injected'] for r in reports], label=f'false ({share:.0%} of all)')
axes[2].axhline(1, color='gray', linewidth=1)
axes[2].legend(fontsize='small')
for ax, title in zip(axes, ('by loss', 'by popularity', 'false interactions')):
    ax.set_title(f'mean weight, {title}', fontsize='medium')
    ax.set_xlabel('epoch')
plt.show()
last = reports[-1]
print(f"spread of the weights {last['weight_std']:.3f}; rank correlation with the loss "
      f"{last['weight_loss']:+.2f}, with popularity {last['weight_popularity']:+.2f}; mean weight "
      f"of false interactions {last['of_injected']:.3f}")
