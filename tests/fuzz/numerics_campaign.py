r"""Losses and gradients of extreme, finite scores, in three precisions."""
import torch
from hypothesis import strategies as st

from pyg_advcf import criteria

from .call import Call
from .criteria_campaign import ITEMS, SCORED, USERS, WIDTH, loss_and_gradients, not_finite
from .strategies import batches, embeddings

# float32 holds sums and weighted sums of the largest; float16 holds no more than its own.
SIZES = {torch.float32: (1e-38, 1e-4, 1., 90., 1e4, 1e8, 1e18, 1e30),
         torch.bfloat16: (1e-38, 1e-4, 1., 90., 1e4, 1e8, 1e18, 1e30),
         torch.float16: (6e-5, 1e-4, 1., 90., 1e4, 65504.)}


@st.composite
def _calls(draw) -> Call:
    name = draw(st.sampled_from(sorted(SCORED)))
    dtype = draw(st.sampled_from(list(SIZES)))
    batch = draw(batches(USERS, ITEMS))
    rows, columns = batch.neg_item.shape
    if name == 'XIR':
        batch = batch._replace(neg_item=torch.cat([batch.item, torch.arange(3)]), neg_mask=None)
        columns = rows + 3
    signs = st.sampled_from((-1., 0., 1.))
    entries = st.tuples(signs, st.sampled_from(SIZES[dtype]))
    values = draw(st.lists(entries, min_size=rows * (columns + 1), max_size=rows * (columns + 1)))
    table = torch.tensor([sign * size for sign, size in values], dtype=torch.float64)
    table = table.to(dtype).view(rows, columns + 1)
    pos, neg = table[:, 0].contiguous(), batch.mask_negatives(table[:, 1:].contiguous())
    own = dict(SCORED[name][0], reduction=draw(st.sampled_from(('mean', 'sum', 'none'))))
    more = []
    if name == 'InstanceWeighted':
        own['criterion'], more = criteria.BPR(), [draw(embeddings(USERS, ITEMS, WIDTH))]

    def do():
        criterion = getattr(criteria, name)(**own)
        return loss_and_gradients(criterion, pos, neg, batch, *more)

    label = f'{str(dtype).removeprefix("torch.")} up to {float(table.abs().max()):.0e}'
    return Call(name, do, lambda found: not_finite(*found), label, refused=None)


CALLS = _calls()
