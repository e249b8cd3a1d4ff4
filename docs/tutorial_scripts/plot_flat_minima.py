r"""
Flat minima: what APR, SAM and SharpCF pay for them
===================================================

A minimum is *flat* if the loss stays low around it: move all embeddings a little, in the worst
direction, and the ranking hardly suffers. Three recipes look for such minima, starting from BPR.

* **APR** adds the loss at the worst point nearby: :math:`L(\Theta) + \alpha L(\Theta + \Delta)`. It
  needs the gradient once to find :math:`\Delta` and once more to learn.
* **SAM** replaces the gradient by the one at the worst point nearby. Two passes as well; without
  its clean part, and with one norm over all parameters, APR *is* SAM.
* **SharpCF** keeps the scores of the positives near those of a few epochs ago, which a sharp
  minimum would not let them: :math:`L(\Theta) + \lambda (s^+ - s^+_{e-E})^2`. One pass, and a
  table of old scores.
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
START = 10  # Epochs of plain BPR before each recipe begins.


def bpr():
    return methods.BPR(MF(data, dim=64), data, l2=1e-3)


recipes = {
    'BPR': lambda: Step(bpr(), lr=5e-3),
    'APR': lambda: Step(methods.APR(MF(data, dim=64), data, epsilon=0.5, start=START, l2=1e-3),
                        lr=5e-3),
    'SAM': lambda: SAMStep(bpr(), lr=5e-3, rho=1., start=START),
    'SharpCF': lambda: Step(methods.SharpCF(MF(data, dim=64), data, weight=1., lag=3, start=START,
                                            l2=1e-3), lr=5e-3),
}

# %%
# Forty epochs each, the best validated one kept. The prices are median seconds per epoch, so they
# hold the share of epochs with a second pass; on data of this size fixed costs weigh most, and the
# page on SharpCF has the prices on MovieLens-1M.
trained = {}
for name, build in recipes.items():
    seed_everything(0)
    step = build()
    history = fit(step, InteractionLoader(data, 1024, seed=0), epochs=40, patience=None,
                  progress=False)
    trained[name] = step.method
    recall = {split: f"{values['recall@20']:.4f}"
              for split, values in evaluate(step.method, data).items()}
    print(f'{name:>8}: best epoch {history.best_epoch}, {1e3 * history.seconds_per_epoch:.0f} ms '
          f'per epoch, Recall@20 {recall}')

# %%
# How flat?
# ---------
#
# :func:`~pyg_advcf.diagnostics.sharpness` climbs, by projected gradient ascent, to the worst point
# within a ball, and says how much higher the loss is there. In the same ball longer embeddings move
# less, in proportion, so the radius is a tenth of the length of each method's own tables.
triplets = next(iter(InteractionLoader(data, 4096, seed=1)))
for name, method in trained.items():
    length = torch.cat([t.detach() for t in method.backbone.x[:2]]).norm()
    rise = sharpness(method, triplets, rho=0.1 * float(length))
    print(f'{name:>8}: length of the tables {length:6.1f}, rise of the loss {rise:.4f}')

# %%
# Along a *random* direction the picture is another: most directions are harmless, and the curves
# tell more about how large the loss is than about how sharp its minimum is.
plot_landscape({name: loss_landscape(method, triplets, progress=False)
                for name, method in trained.items()})
plt.show()

# %%
# Whom does it help?
# ------------------
#
# Metrics by the popularity of the held-out items show whether a gain comes from the head or the
# tail of the catalogue.
for name, method in trained.items():
    groups = evaluate_by_degree(method, data, (0, 50, 150, math.inf), 'test_ood',
                                metrics=['recall'])
    print(f'{name:>8}: ' + ', '.join(f"{group} {values['recall@20']:.4f}"
                                     for group, values in groups.items()))
