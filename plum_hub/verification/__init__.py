"""Checking a release against its own statements (`verify`), and against another release (`diff`).

verify.py       one release: a dataset or a model (options.py)
dataset.py      a dataset: which checks, in which order, and the report
model.py        a model, and the chain of releases behind it
findings.py     the checks by name, and what did not agree
tag.py          whether a tag still points to the commit that it pointed to
files.py        manifest, hashes, schemas and digests of the files
rows.py         the rows, all of some instructions at a time; reading.py turns them into records
provenance.py   what the rows were made with: recipe, harness, limits
rows_check.py   ids and views, recomputed from the rows' own inputs
rejudge.py      the samples, judged again
diff.py         two releases; matching.py compares their rows, causes.py what they were made with
"""
