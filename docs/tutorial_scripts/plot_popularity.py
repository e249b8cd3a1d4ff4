r"""
Popularity: one model, one dial
===============================

How much popularity should there be in a score? Negatives that are drawn from the batch are drawn by
popularity :math:`q`, and the optimum of InfoNCE against them is
:math:`s_{ui} = \log p(i|u) - \log q_i`: affinity *beyond* popularity. Ranked by
:math:`s + \beta \log q` with :math:`\beta = 1` the list is the one of :math:`p(i|u)` again, which
is best for data like the training data; less suits users who come across items regardless of their
popularity. So one model serves both, and everything between: :math:`\beta` is the ``prior`` of a
:class:`~pyg_advcf.nn.Similarity`, set after training.
"""
# %%
import matplotlib.pyplot as plt
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, LightGCN, MinMaxStep, calibrate, evaluate, fit, methods
from pyg_advcf.datasets import SyntheticExposure

data = SyntheticExposure(num_users=1000, num_items=400)[0]
WEIGHTED = {'metrics': ('recall', 'recall_ips', 'popularity'), 'progress': False}


def train(recommender, step=None, **loader):
    fit(step or recommender, InteractionLoader(data, batch_size=1024, **loader), 40,
        patience=None, calibrate=step is None and loader.get('negatives') == 'in_batch',
        progress=False, **({} if step else {'lr': 5e-3}))
    return recommender


# %%
# The data have two test sets: one that was seen through the same popularity as the training data
# (``test_iid``), and one that was seen with much less of it (``test_ood``). We train once.
seed_everything(0)
recommender = train(methods.infonce(LightGCN(data, dim=64, num_layers=1), temperature=0.2),
                    negatives='in_batch')
PRIORS = [0., 0.2, 0.4, 0.6, 0.8, 1., 1.2, 1.4]
curve = []
for recommender.similarity.prior in PRIORS:
    curve.append(evaluate(recommender, data, ['val', 'test_iid', 'test_ood'], **WEIGHTED))
print(' prior  in distribution  out of distribution  degree of the list  weighted validation')
for prior, found in zip(PRIORS, curve):
    print(f"{prior:6.1f} {found['test_iid']['recall@20']:16.4f} "
          f"{found['test_ood']['recall@20']:20.4f} {found['test_iid']['popularity@20']:19.1f} "
          f"{found['val']['recall_ips@20']:20.4f}")

# %%
# Who chooses?
# ------------
#
# Validation pairs that were held out of the training data are as popular as these, so plain
# Recall chooses a list for ``test_iid``. Weighted by the inverse of an item's propensity to be
# seen, its degree to the power :math:`\alpha`, the same pairs choose for data with less of that
# bias: nothing unbiased is needed. :math:`\alpha` is a guess, though: an item's degree is how often
# it was shown *times* how much it is liked, so that :math:`\alpha = 1` takes too much away, and the
# list that is best for ``test_ood``, whose items were shown at random, is nearer to the choice of
# 0.5. And weights make the choice less certain (``ips_sample_size`` tells how many pairs are left
# in effect).
for metric, power in (('recall@20', 0.), ('recall_ips@20', 0.5), ('recall_ips@20', 1.)):
    found = calibrate(recommender, data, metric=metric, priors=PRIORS, propensity_power=power,
                      progress=False)
    test = {split: f"{values['recall@20']:.4f}"
            for split, values in evaluate(recommender, data, progress=False).items()}
    print(f'{metric:>14}, power {power}, chooses the prior {found.prior}: test Recall@20 {test}')

# %%
# The same dial in training
# -------------------------
#
# The prior belongs to the ranking. In training, :math:`\delta_j = a \log d_j` weighs negatives by a
# power of their popularity (``hardness='popularity'``), and the adversary of AdvInfoNCE learns
# :math:`\delta`, held at a divergence by ``target_kl``. Both trade one test set for the other, too,
# and each of their points needs a training of its own.
points = {}
for exponent in (0., 0.3, 0.6):
    seed_everything(0)
    trained = train(methods.advinfonce(
        LightGCN(data, dim=64, num_layers=1), temperature=0.2, hardness='popularity',
        exponent=exponent), num_neg=64)
    points.setdefault('popularity exponent', []).append((exponent, trained))
for target in (0.05, 0.2, 0.5):
    seed_everything(0)
    trained = methods.advinfonce(LightGCN(data, dim=64, num_layers=1), temperature=0.2)
    step = MinMaxStep(trained, lr=5e-3, adversary_lr=5e-3, interval=5, target_kl=target)
    points.setdefault('AdvInfoNCE, target KL', []).append((target, train(trained, step,
                                                                         num_neg=64)))

fig, ax = plt.subplots(figsize=(6.4, 4.4), layout='constrained')


def draw(label, values, marker):
    x, y = ([found[split]['recall@20'] for _, found in values] for split in ('test_iid',
                                                                             'test_ood'))
    ax.plot(x, y, marker=marker, label=label)
    for (value, _), a, b in zip(values, x, y):
        ax.annotate(f'{value:g}', (a, b), textcoords='offset points', xytext=(5, 4), fontsize=8)


draw('in-batch, prior at serving time', list(zip(PRIORS, curve)), 'o')
for marker, (label, values) in zip('s^', points.items()):
    draw(label, [(value, evaluate(model, data, progress=False)) for value, model in values], marker)
ax.set_xlabel('Recall@20 in distribution')
ax.set_ylabel('Recall@20 out of distribution')
ax.legend()
plt.show()

# %%
# These data are generated by exposure that depends on popularity alone, which is just what the
# prior undoes: they favour it. On real data see the page on Gowalla. To choose the prior at every
# evaluation of a training, and to keep it with the best weights, pass ``calibrate=True`` to
# :func:`~pyg_advcf.fit`.
