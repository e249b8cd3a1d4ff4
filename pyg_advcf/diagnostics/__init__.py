r"""What a trained method has learned, as figures and plots."""
from pyg_advcf.diagnostics.hardness import HardnessReport, hardness_report, plot_hardness
from pyg_advcf.diagnostics.instance_weights import weight_report
from pyg_advcf.diagnostics.landscape import (
    Landscape,
    loss_landscape,
    plot_landscape,
    sharpness,
)
from pyg_advcf.diagnostics.worst_case import worst_case

__all__ = ['HardnessReport', 'Landscape', 'hardness_report', 'loss_landscape', 'plot_hardness',
           'plot_landscape', 'sharpness', 'weight_report', 'worst_case']
