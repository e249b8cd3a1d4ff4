r"""What a trained method has learned, as figures and plots."""
from pyg_advcf.diagnostics.hardness import HardnessReport, hardness_report, plot_hardness
from pyg_advcf.diagnostics.worst_case import worst_case

__all__ = ['HardnessReport', 'hardness_report', 'plot_hardness', 'worst_case']
