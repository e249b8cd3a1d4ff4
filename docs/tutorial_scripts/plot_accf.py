r"""
Adversarial views, random views and learned weights under noise
================================================================

Clicks by mistake, gifts, and bots: some interactions say nothing about taste. Contrastive methods
ask that an embedding survive a disturbance, and so lean less on any single interaction. They differ
in the disturbance:

* **Random views** (SimGCL, XSimGCL) add noise of a given length to the embeddings.
* **Adversarial views** (ACCF) move the tables by the same length in the direction that hurts the
  ranking most: :math:`\Delta = \epsilon\, \nabla L / \|\nabla L\|`, row by row.

ACCF also learns what each training triplet shall *weigh*, from interactions that were held out: a
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
    Step,
    evaluate,
    fit,
    methods,
)
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.diagnostics import weight_report
from pyg_advcf.transforms import AddInteractionNoise, RandomNoise, RandomSplit

clean = SyntheticExposure(num_users=1000, num_items=400)[0]
VIEWS = dict(contrast_weight=0.02, temperature=0.5, adversarial_weight=0.1, l2=1e-3)


def backbone(data):
    return LightGCN(data, dim=64, num_layers=2)


recipes = {
    'LightGCN': lambda data: methods.BPR(backbone(data), data, l2=1e-3),
    'random view': lambda data: methods.ACCF(
        backbone(data), data, weighting='none', perturbation=RandomNoise(0.2), **VIEWS),
    'adversarial view': lambda data: methods.ACCF(
        backbone(data), data, weighting='none', epsilon=0.2, **VIEWS),
}

# %%
# Twenty epochs each, on the data as they are and with 20 % false interactions in the training
# graph. Validation and test stay clean, and no false interaction is one of theirs.
trained = {}
for ratio in (0., 0.2):
    data = AddInteractionNoise(ratio)(clean)
    for name, build in recipes.items():
        seed_everything(0)
        step = Step(build(data), lr=5e-3)
        fit(step, InteractionLoader(data, 1024, seed=0), epochs=20, patience=None, progress=False)
        test = evaluate(step.method, data, k=10)
        trained[name, ratio] = {split: values['ndcg@10'] for split, values in test.items()}
        print(f'{ratio:4.0%} {name:>16}: NDCG@10 '
              + ', '.join(f'{split} {v:.4f}' for split, v in trained[name, ratio].items()))

# %%
# What each loses by the noise, on a test set that is exposed as the training data are (`test_iid`)
# and on one that is not (`test_ood`). The contrast spreads the embeddings, and with them the lists,
# away from what is popular: that costs on the first and pays on the second. One seed on small
# synthetic data is an illustration and no comparison; that one, on real data, is on the page of
# results.
for name in recipes:
    before, after = trained[name, 0.], trained[name, 0.2]
    print(f'{name:>16}: ' + ', '.join(f'{split} {after[split] / before[split] - 1:+.1%}'
                                      for split in before))

# %%
# The adversary at work
# ---------------------
#
# The same length, another direction: how much does the loss of one batch rise?
data = AddInteractionNoise(0.2)(clean)
seed_everything(0)
method = methods.ACCF(backbone(data), data, weighting='none', epsilon=0.2, **VIEWS)
step = Step(method, lr=5e-3)
fit(step, InteractionLoader(data, 1024, seed=0), epochs=10, patience=None, progress=False)
batch = next(iter(InteractionLoader(data, 1024, seed=1)))
for name, perturbation in (('adversarial', method.perturbation), ('random', RandomNoise(0.2))):
    method.perturbation = perturbation
    with torch.no_grad():
        views = method.views(batch)
        before, after = (method.criterion(*method.similarity(z, views.shift.batch))
                         for z in (views.shift.z, views.shift.moved))
    print(f'{name:>12}: BPR {before:.4f} -> {after:.4f}')

# %%
# What the weights learn
# ----------------------
#
# A tenth of the training interactions leaves the graph for the upper level. Every other step of the
# recommender is preceded by one of the weights, along the gradient of the held-out loss *after* the
# recommender's next step.
split = RandomSplit(val=0., outer=0.1, per_user=False)(data)
seed_everything(0)
method = methods.ACCF(backbone(split), split, epsilon=0.2, weighting='bilevel', **VIEWS)
step = BilevelStep(method, InteractionLoader(split, 1024, split='outer'), every=2, lr=5e-3,
                   upper_lr=5e-3)
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
