"""What a sweep found, for people: the verdict in words, a table, figures and one self-contained HTML page.

    paper.py      the numbers that the paper publishes
    findings.py   what was found, in words; whether gradients are masked
    table.py      the sweep's table as rows, CSV, JSON and terminal text
    figures.py    the paper's figures from evaluations, as matplotlib figures
    page.py       the HTML page
    write.py      the files of a report

Nothing here knows of torch or of MLflow: a report is made from evaluations alone. matplotlib is imported when
something is drawn, so that printing a table stays quick.
"""

from defensive_distillation.reporting.grid import Grid
from defensive_distillation.reporting.write import write_report

__all__ = ["Grid", "write_report"]
