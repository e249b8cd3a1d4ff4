r"""Corruptions of batches and of scores."""
import torch

from .call import Corruption, becomes, turns


def wrong_batches(name, num_users, num_items,
                  uses=('user', 'item', 'neg_item')) -> list[Corruption]:
    r"""Ids that are out of range or no ids, in the parts of the batch that are used."""
    def entry(value):
        def change(t):
            t = t.clone()
            t.view(-1)[0] = value
            return t

        return change

    found = [becomes(name, label, value) for label, value in (
        ('a text', 'x'), ('a number', 3), ('a tuple', (1, 2, 3, 4)), ('a dict', {}))]
    for part in uses:
        size = num_users if part == 'user' else num_items
        changes = {
            'negative': entry(-1), 'beyond the last': entry(size), 'huge': entry(2**40),
            'fractions': lambda t: t.float(), 'truth values': lambda t: t.bool(),
            'too many': lambda t: torch.cat([t, t[:1]]),
            'two dimensions more': lambda t: t.view(*t.shape, 1, 1),
            'None': lambda t: None, 'a list': lambda t: t.tolist(), 'a text': lambda t: 'x'}
        found += [turns(name, f'{part} {label}',
                        lambda b, part=part, change=change: b._replace(
                            **{part: change(getattr(b, part))}))
                  for label, change in changes.items()]
    return found


def wrong_scores(pos='pos', neg='neg') -> list[Corruption]:
    r"""Shapes that do not fit, and what is no score."""
    shapes = {
        pos: {'a column': lambda t: t.unsqueeze(1), 'a scalar': lambda t: t[0],
              'too many': lambda t: torch.cat([t, t[:1]])},
        neg: {'one dimension': lambda t: t[:, 0], 'three dimensions': lambda t: t.unsqueeze(0),
              'too many rows': lambda t: torch.cat([t, t[:1]])}}
    found = []
    for name, changes in shapes.items():
        changes |= {'integers': lambda t: t.long(), 'truth values': lambda t: t > 0,
                    'complex': lambda t: t.to(torch.complex64), 'a list': lambda t: t.tolist(),
                    'an array': lambda t: t.float().numpy()}
        found += [turns(name, label, change) for label, change in changes.items()]
        found += [becomes(name, label, value) for label, value in (
            ('None', None), ('a text', 'x'), ('a number', 3.))]
    return found
