"""Publishing: a run as a dataset, a checkpoint as a model.

repository.py        where a release goes, its version, and the commit and tag that publish it
dataset.py           a run's release
push_dataset.py      publish a run that is already complete
lineage.py           what a run's release was made from
row_versions.py      the versions that made a run's rows, as the rows record them
model.py             publish a checkpoint
model_checkpoint.py  the checkpoint folder, and which of its weights are published
model_base.py        the base model: where it is on this machine, and its public name
model_data.py        the published dataset that holds the rows trained on
model_results.py     scores of evaluations, for the card
preview.py           the card before anything is published
"""
