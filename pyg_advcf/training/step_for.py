r"""Which step trains a recommender: the only place that decides it."""
import inspect
from typing import Any

from pyg_advcf._checks import check_instance, check_name
from pyg_advcf.interactions import split_names
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.training.bilevel import BilevelStep
from pyg_advcf.training.min_max import MinMaxStep
from pyg_advcf.training.step import Step, check_recommender


def step_for(recommender: Recommender, loader: InteractionLoader, **kwargs: Any) -> Step:
    r"""The step that the recommender needs, by what it has to train.

    :class:`MinMaxStep` if it has an adversary, :class:`BilevelStep` if it has an outer problem
    (whose batches are those of the split ``outer``), else :class:`Step`.

    Args:
        recommender: What is trained.
        loader: The batches that it will be trained on.
        **kwargs: Arguments of that step, such as ``lr``.

    Raises:
        ValueError: If ``recommender`` or ``loader`` is not one, if the step has no argument of
            that name, if the recommender has an outer problem and the data no split ``outer``, or
            as the step.

    Example:
        >>> from pyg_advcf import LightGCN, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> step_for(methods.advinfonce(LightGCN(data, dim=8)), InteractionLoader(data))
        MinMaxStep(Recommender with AdvInfoNCE)
    """
    check_recommender(recommender)
    check_instance('loader', loader, InteractionLoader, 'an InteractionLoader')
    kind = (MinMaxStep if recommender.adversary_parameters() else
            BilevelStep if recommender.outer_parameters() else Step)
    own = [name for name in inspect.signature(kind).parameters
           if name not in ('recommender', 'outer_loader', '_others')]
    for name in kwargs:
        check_name(f'argument of {kind.__name__}', name, own)
    if kind is not BilevelStep:
        return kind(recommender, **kwargs)
    if 'outer' not in split_names(loader.data):
        raise ValueError(f"'recommender' is {recommender.__class__.__name__} with weights that "
                         f"learn from held-out pairs, but 'data' has no split 'outer'; split it "
                         f"with RandomSplit(val=0, outer=0.05) before you build the backbone")
    outer_loader = InteractionLoader(loader.data, loader.batch_size, loader.num_neg,
                                     seed=loader.seed, split='outer')
    return BilevelStep(recommender, outer_loader, **kwargs)
