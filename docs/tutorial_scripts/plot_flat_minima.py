r"""
Flat minima: what APR, SAM and SharpCF gain and cost
====================================================

A minimum is *flat* if the loss stays low around it: a small change of all embeddings, even in the
worst direction, raises the loss little. Three methods look for such minima, starting from BPR.

* **APR** adds the loss at the worst point nearby: :math:`L(\Theta) + \alpha L(\Theta + \Delta)`. It
  needs the gradient once to find :math:`\Delta` and once more to learn.
* **SAM** replaces the gradient by the one at the worst point nearby. Two passes as well; without
  its clean part, and with one norm over all parameters, APR *is* SAM.
* **SharpCF** keeps the scores of the positives near those of :math:`E` epochs ago, from which they
  would move away in a sharp minimum: :math:`L(\Theta) + \lambda (s^+ - s^+_{e-E})^2`. It needs one
  pass, and a table of old scores.
"""
# %%
import math

import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything

from pyg_advcf import MF, InteractionLoader, Step, evaluate, fit, methods
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.diagnostics import loss_landscape, plot_landscape, sharpness
from pyg_advcf.metrics import evaluate_by_degree
from pyg_advcf.training import SAMStep

data = SyntheticExposure(num_users=1000, num_items=400)[0]
WARMUP = 10  # Epochs of plain BPR before each method begins.

steps = {
    'BPR': lambda backbone: Step(methods.bpr(backbone, l2=1e-3), lr=5e-3),
    'APR': lambda backbone: Step(
        methods.APR(backbone, epsilon=0.5, warmup_epochs=WARMUP, l2=1e-3), lr=5e-3),
    'SAM': lambda backbone: SAMStep(
        methods.bpr(backbone, l2=1e-3), lr=5e-3, rho=1., warmup_epochs=WARMUP),
    'SharpCF': lambda backbone: Step(
        methods.SharpCF(backbone, weight=1., lag=3, warmup_epochs=WARMUP, l2=1e-3), lr=5e-3),
}

# %%
# Forty epochs each, of which the epoch with the best validation metric is kept, after the warm-up.
# The time is the median over all epochs. On data of this size fixed costs dominate; the page on
# SharpCF has the times on MovieLens-1M.
trained = {}
for name, build in steps.items():
    seed_everything(0)
    step = build(MF(data, dim=64))
    history = fit(step, InteractionLoader(data, 1024, seed=0), epochs=40, patience=None,
                  progress=False)
    trained[name] = step.recommender
    recall = {split: f"{values['recall@20']:.4f}"
              for split, values in evaluate(step.recommender, data).items()}
    print(f'{name:>8}: best epoch {history.best_epoch}, {1e3 * history.seconds_per_epoch:.0f} ms '
          f'per epoch, Recall@20 {recall}')

# %%
# How flat?
# ---------
#
# :func:`~pyg_advcf.diagnostics.sharpness` looks for the worst point within a ball, by projected
# gradient ascent, and returns how much higher the loss is there. A ball of one radius is small for
# long embeddings and large for short ones, so the radius is a tenth of the length of each method's
# own tables.
triplets = next(iter(InteractionLoader(data, 4096, seed=1)))
for name, method in trained.items():
    length = torch.cat([table.detach() for table in method.backbone.x]).norm()
    rise = sharpness(method, triplets, rho=0.1 * float(length))
    print(f'{name:>8}: length of the tables {length:6.1f}, rise of the loss {rise:.4f}')

# %%
# Along a *random* direction the result is different: most directions change the loss little, and
# the curves show the size of the loss rather than the sharpness of its minimum.
plot_landscape({name: loss_landscape(method, triplets, progress=False)
                for name, method in trained.items()})
plt.show()

# %%
# Popular and rare items
# ----------------------
#
# Metrics by the popularity of the held-out items show whether a gain comes from the popular items
# or from the rare ones.
for name, method in trained.items():
    groups = evaluate_by_degree(method, data, (0, 50, 150, math.inf), 'test_ood',
                                metrics=['recall'])
    print(f'{name:>8}: ' + ', '.join(f"{group} {values['recall@20']:.4f}"
                                     for group, values in groups.items()))
