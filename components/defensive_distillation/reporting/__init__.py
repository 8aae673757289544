"""What a sweep found, for people: the verdict in words, a table, figures and one self-contained HTML page.

    paper.py                   the numbers that the paper publishes
    networks.py  measures.py   which network is which; numbers that several of the following need
    verdicts.py  findings.py  findings_adaptive.py
                               what was found, in words; whether gradients are masked
    table.py                   the sweep's table as rows, CSV, JSON and terminal text
    figures.py  figures_adaptive.py  figures_samples.py
                               the paper's figures, those of the adaptive attacks, and adversarial samples
    page.py                    the HTML page, of first_screen.py, tables.py, adaptive.py, samples.py
    write.py                   the files of a report

Nothing here knows of torch or of MLflow: a report is made from evaluations alone. matplotlib is imported when
something is drawn, so that printing a table stays quick.
"""

from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.write import write_report

__all__ = ["Examples", "Grid", "write_report"]
