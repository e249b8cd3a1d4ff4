r"""Steps, the training loop, and checkpoints."""
from pyg_advcf.training.bilevel import BilevelStep
from pyg_advcf.training.checkpoint import load_safely, save_atomically
from pyg_advcf.training.fit import History, fit
from pyg_advcf.training.memory import keep_freed_memory
from pyg_advcf.training.sam import SAM, SAMStep
from pyg_advcf.training.steps import MinMaxStep, Step

__all__ = ['BilevelStep', 'History', 'MinMaxStep', 'SAM', 'SAMStep', 'Step', 'fit',
           'keep_freed_memory', 'load_safely', 'save_atomically']
