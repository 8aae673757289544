"""What a sweep found, for people: the verdict in words, a table, figures and one self-contained HTML page.

    findings/      what was found, in sentences: the headline, the paragraphs, a verdict a network
    figures/       the paper's figures, those of the adaptive attacks, adversarial samples; what each says in words
    page/          the data of the HTML page, a module a part; templates/ makes HTML of it
    table.py       the sweep's table as rows, CSV, JSON and terminal text
    write.py       the files of a report
    pictures.py    the samples of one evaluation as PNG files
    attacks.py  networks.py  paper.py  grid.py
                   which attacks and networks there are, what the paper publishes, samples in memory
    measures.py  words.py  parallel.py
                   numbers that several of these need, how they are said, drawing on all cores

Nothing here knows of torch or of MLflow: a report is made from evaluations alone. matplotlib is imported when
something is drawn, so that printing a table stays quick.
"""

from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.write import write_report

__all__ = ["Examples", "Grid", "write_report"]
