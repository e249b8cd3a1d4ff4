r"""
AdvInfoNCE, and what its adversary does to which negatives
==========================================================

InfoNCE treats all sampled negatives alike. In :class:`~pyg_advcf.criteria.AdvInfoNCE` an adversary
learns a *hardness* :math:`\delta_j` of every negative: the loss is
:math:`-\log e^{s^+} / (e^{s^+} + k \sum_j e^{\delta_j} e^{s_j})` with
:math:`\delta_j = \log N p_j` and :math:`\sum_j p_j = 1`, and the adversary maximises it. The paper
hopes for two effects: hard negatives are up-weighted, and *false* negatives, items that the user
would like but never saw, are down-weighted (:math:`\delta_j < 0`). On synthetic data we know the
false negatives, so we can measure both.
"""
# %%
import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, LightGCN, MinMaxStep, Step, evaluate, fit, methods
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.diagnostics import hardness_report, plot_hardness, worst_case

data = SyntheticExposure(num_users=1000, num_items=400)[0]
loader = InteractionLoader(data, batch_size=1024, num_neg=64)


# %%
# Three trainings of 50 epochs each, of which the epoch with the best validation metric is kept:
# without an adversary (``'uniform'``, where only the constant :math:`\ln k` remains), with the
# published one (``'embed'``), and with one that *minimises* the loss (``'reverse'``).
def train(hardness):
    seed_everything(0)
    method = methods.advinfonce(LightGCN(data, dim=64, num_layers=2), temperature=0.2, k=64,
                                hardness=hardness)
    if hardness == 'uniform':
        step = Step(method, lr=5e-3)
    else:
        step = MinMaxStep(method, lr=5e-3, adversary_lr=5e-3, interval=5, max_passes=8)
    history = fit(step, loader, epochs=50, patience=None, progress=False)
    return method, history


trained = {hardness: train(hardness) for hardness in ('uniform', 'embed', 'reverse')}
for hardness, (method, history) in trained.items():
    test = {split: f"{values['recall@20']:.4f}"
            for split, values in evaluate(method, data).items()}
    print(f'{hardness:>8}: best epoch {history.best_epoch}, Recall@20 {test}')

# %%
# Hardness against popularity
# ---------------------------
#
# Popular negatives have high scores, and the adversary up-weights negatives with high scores, so
# hardness grows with popularity. With ``'reverse'`` it falls.
reports = {hardness: hardness_report(trained[hardness][0], data, data.relevant)
           for hardness in ('embed', 'reverse')}
plot_hardness(reports)
plt.show()

# %%
# Which negatives are down-weighted?
# ----------------------------------
#
# The share of known false negatives that are down-weighted means nothing by itself: it has to be
# compared with the same share of *all* negatives. If false negatives are down-weighted *less* often
# than others, then the adversary takes them for hard negatives. That is to be expected: an item
# that the user would like has a high score, and the adversary up-weights high scores.
for hardness, report in reports.items():
    print(f'{hardness:>8}: down-weighted are {report.false_negative_rate:.3f} of the false '
          f'negatives and {report.chance_rate:.3f} of all, KL(P0||P) {report.kl_uniform_p:.4f}')

method = trained['embed'][0]
batch = next(iter(InteractionLoader(data, batch_size=4096, num_neg=64, seed=1)))
with torch.no_grad():
    pos, neg = method.similarity(method.embeddings(), batch)
    delta = method.criterion.log_hardness(batch)
hidden = data.relevant[batch.user.unsqueeze(1), batch.neg_item]
fig, ax = plt.subplots(figsize=(6, 3.6), layout='constrained')
bins = torch.linspace(float(delta.quantile(0.001)), float(delta.quantile(0.999)), 60).tolist()
for mask, label in ((~hidden, 'true negatives'), (hidden, 'false negatives')):
    ax.hist(delta[mask].numpy(), bins=bins, density=True, alpha=0.6, label=label)
ax.axvline(0, color='grey', linewidth=1)
ax.set_xlabel(r'hardness $\delta_j$')
ax.set_ylabel('density')
ax.legend()
plt.show()

# %%
# How strong is the adversary?
# ----------------------------
#
# Among all hardnesses whose divergence :math:`\eta` from uniform is the one that was learned,
# :func:`~pyg_advcf.diagnostics.worst_case` gives the strongest one in closed form, row by row. The
# learned tables share their parameters between all rows and all batches, so they reach only a part
# of it.
eta = float(-delta.mean())
worst = (64 * worst_case(pos, neg, eta)).log().float()
losses = {name: method.criterion(pos, neg, batch, log_hardness=d).item()
          for name, d in (('none', torch.zeros_like(delta)), ('learned', delta), ('worst', worst))}
print({name: round(value, 4) for name, value in losses.items()})
fig, ax = plt.subplots(figsize=(4, 3.4), layout='constrained')
ax.bar(list(losses), [value - losses['none'] for value in losses.values()])
ax.set_ylabel('rise of the loss')
ax.set_title(rf'divergence $\eta = {eta:.4f}$')
plt.show()
