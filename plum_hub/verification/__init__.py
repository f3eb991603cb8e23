"""Releases held against what they say of themselves (`verify`), and against one another (`diff`).

verify.py      one release, by what it is (order.py)
dataset.py     a dataset: the order of the checks, and what came of them
model.py       a model, and the chain behind it
findings.py    the checks by name, and what did not agree
tag.py         whether a tag still stands where it stood
files.py       manifest, hashes, schemas; rows.py reads the rows, all of some instructions at a time
terms.py       what the rows were made under: recipe, harness, limits
rows_check.py  ids and views, made once more from the rows' own inputs
rejudging.py   the samples, judged once more
diff.py        two releases
"""
