r"""
AdvInfoNCE, and what its adversary does to which negatives
==========================================================

InfoNCE treats all sampled negatives alike. :class:`~pyg_advcf.methods.AdvInfoNCE` lets an
adversary distribute *hardness* :math:`\delta_j` over them: the loss is
:math:`-\log e^{s^+} / (e^{s^+} + k \sum_j e^{\delta_j} e^{s_j})` with
:math:`\delta_j = \log N p_j` and :math:`\sum_j p_j = 1`, and the adversary maximises it. The paper
hopes for two effects: hard negatives are pushed further away, and *false* negatives, items that
the user would like but never saw, are let go (:math:`\delta_j < 0`). On synthetic data we know the
false negatives, so we can look.
"""
# %%
import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, LightGCN, MinMaxStep, evaluate, fit
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.diagnostics import hardness_report, plot_hardness, worst_case
from pyg_advcf.methods import AdvInfoNCE

data = SyntheticExposure(num_users=1000, num_items=400)[0]
loader = InteractionLoader(data, batch_size=1024, num_neg=64)


# %%
# Three trainings of 50 epochs, the best validated one kept: the adversary asleep (``'uniform'``:
# what is left is the constant :math:`\ln k`), as published (``'embed'``), and working *for* the
# model (``'reverse'``).
def train(hardness):
    seed_everything(0)
    method = AdvInfoNCE(LightGCN(data, dim=64, num_layers=2), data, temperature=0.2, k=64,
                        hardness=hardness)
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
# The adversary finds that popular negatives score high, and makes them harder: hardness grows with
# popularity. Working for the model, it does the opposite.
reports = {hardness: hardness_report(trained[hardness][0], data, data.relevant)
           for hardness in ('embed', 'reverse')}
plot_hardness(reports)
plt.show()

# %%
# Which negatives are let go?
# ---------------------------
#
# The share of known false negatives with :math:`\delta < 0` means nothing by itself: it has to be
# read beside the share among *all* negatives. If false negatives are held loose *less* often than
# chance, the adversary takes them for hard negatives, and that is what one should expect: an item
# that the user would like scores high, and high scores are what the adversary looks for.
for hardness, report in reports.items():
    print(f'{hardness:>8}: false negatives held loose {report.false_negative_rate:.3f}, '
          f'all negatives {report.chance_rate:.3f}, KL(P0||P) {report.kl_uniform_p:.4f}')

method = trained['embed'][0]
batch = next(iter(InteractionLoader(data, batch_size=4096, num_neg=64, seed=1)))
with torch.no_grad():
    pos, neg = method.similarity(method.embeddings(), batch)
    delta = method.criterion.delta(batch)
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
# For the divergence :math:`\eta` that it spends, :func:`~pyg_advcf.diagnostics.worst_case` gives
# the strongest possible hardness in closed form, row by row. The learned tables share their
# parameters over all users and items and serve every batch, so they reach only a part of it.
spent = -delta.mean(1)
eta = float(spent.mean())
worst = (64 * worst_case(pos, neg, eta)).log().float()
gain = {name: method.criterion(pos, neg, batch, delta=d).item()
        for name, d in (('none', torch.zeros_like(delta)), ('learned', delta), ('worst', worst))}
print({name: round(value, 4) for name, value in gain.items()})
fig, ax = plt.subplots(figsize=(4, 3.4), layout='constrained')
ax.bar(list(gain), [value - gain['none'] for value in gain.values()])
ax.set_ylabel('loss above that without adversary')
ax.set_title(rf'budget $\eta = {eta:.4f}$')
plt.show()
