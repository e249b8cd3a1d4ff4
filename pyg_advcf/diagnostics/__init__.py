r"""What a trained method has learned, as figures and plots."""
from pyg_advcf.diagnostics.hardness import HardnessReport, hardness_report, plot_hardness

__all__ = ['HardnessReport', 'hardness_report', 'plot_hardness']
