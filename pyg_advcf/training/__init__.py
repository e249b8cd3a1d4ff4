r"""Training steps and the training loop."""
from pyg_advcf.files import load_safely, save_atomically
from pyg_advcf.training.bilevel import BilevelStep, hypergradient
from pyg_advcf.training.fit import History, fit
from pyg_advcf.training.memory import keep_freed_memory
from pyg_advcf.training.min_max import MinMaxStep
from pyg_advcf.training.sam import SAM, SAMStep
from pyg_advcf.training.step import Step
from pyg_advcf.training.step_for import step_for
from pyg_advcf.training.updater import Updater

__all__ = ['BilevelStep', 'History', 'MinMaxStep', 'SAM', 'SAMStep', 'Step', 'Updater', 'fit',
           'hypergradient', 'keep_freed_memory', 'load_safely', 'save_atomically', 'step_for']
