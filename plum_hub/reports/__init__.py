"""What runs show, for a reader: tables and figures in the paper's form, and one page that explores every row.

sources.py       finds builds, releases, trainings and evaluations in what a user names
builds.py        a build's figures;  rows.py: its rows, instruction by instruction
results.py       trainings, evaluations, which belong together, and what was gained
truth.py         labels beside gold tests
paper.py         Tables 1 to 6 and Figure 3 with the published values beside them
content.py       all of it as one record, which report.json holds
explorer.py      the rows as compressed chunks of a page
templates.py     report.md.jinja;  pictures.py: PNG
charts.py        SVG;  page.py: report.html.jinja with its style and script
write.py         the folder of a report;  space.py: the page as a static Space
"""
