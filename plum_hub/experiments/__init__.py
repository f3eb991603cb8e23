"""An experiment: a dataset, one or more models trained on it, their evaluation, and the releases, as one resumable run.

    runs/NAME/
      experiment.yaml  experiment.sha256   the resolved experiment, every revision pinned, and its seal
      data/                                the run that all methods are trained on
      data-non-executable/                 the same verdicts under another rule, where a method asks for one
      training/METHOD/                     a checkpoint for each method
      models/MODEL-plum-METHOD/            the whole model of it
      evaluation/base/  evaluation/METHOD/ an evaluation of each model; with `-sampled`, of several samples a problem
      online/                              with `rounds` above 1: a folder of rounds instead of data/ and training/
      results.json  results.md             what each method gained, paired, with intervals

recipe.py     the tree of keys
shipped.py    experiments by name: those of the paper's tables, and the headline run
folder.py     paths, seal, and what may change between two starts
run.py        drives the phases; online.py drives rounds
estimate.py   tokens, GPU hours and money, before anything is spent
results.py    results.json and results.md
"""
