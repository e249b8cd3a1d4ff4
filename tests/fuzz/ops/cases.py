r"""Which call is the one of a number, how it is made, and what is wrong with it."""
import torch

from .direct import DirectCases
from .draws import Case
from .public import PublicCases
from .wrong import corrupt

PUBLIC = ('spmm', 'sddmm', 'propagate', 'layer_sums', 'sampled_product', 'sampled_scores', 'draw',
          'normalize', 'top_k', 'cross_entropy', 'pair_set', 'embeddings', 'as_graph')
DIRECT = ('spmm', 'weighted_spmm', 'sddmm', 'propagate', 'sampled_product', 'gather_sum',
          'scatter_sum', 'merge', 'normalize', 'normalize_backward')
# What a program compiles; and of what Dynamo makes no code anyway, nothing is learned.
COMPILED = ('spmm', 'propagate', 'layer_sums', 'sampled_product', 'sampled_scores', 'draw',
            'normalize', 'cross_entropy', 'embeddings', 'direct_spmm', 'direct_propagate',
            'direct_sampled_product', 'direct_gather_sum', 'direct_scatter_sum')


class Cases(PublicCases, DirectCases):
    r"""All of them."""


def case_of(seed: int, number: int) -> tuple[Case, str, bool]:
    r"""A call, what is wrong with it, and whether it is compiled (by which backend)."""
    maker = Cases(seed, number)
    r = maker.r
    way = r.choice(('public', ) * 5 + ('direct', ) * 4 + ('compiled', ))
    name = r.choice({'public': PUBLIC, 'direct': [f'direct_{name}' for name in DIRECT],
                     'compiled': COMPILED}[way])
    case = getattr(maker, name)()
    labels = []
    count = min(len(case.kinds), r.choice((0, 1, 1, 1, 1, 2)))
    for argument in r.sample(sorted(case.kinds), count):
        label, case.args[argument] = corrupt(r, case.kinds[argument], case.args[argument],
                                                   name.startswith('direct'))
        labels.append(f'{argument}: {label}')
    if way == 'compiled':
        backend = r.choice(('eager', 'aot_eager'))
        case.function = f'compiled {case.function} ({backend})'
        case.call = _compiled(case.call, backend)
    return case, '; '.join(labels)


def _compiled(call, backend):
    def run(args):
        torch.compiler.reset()
        # Tensors as arguments: a program compiles a function of its tensors.
        return torch.compile(lambda: call(args), backend=backend, dynamic=False)()

    return run
