"""What `push-model` and `verify` know of a trained model.

checkpoint.py  the folder that `plum-hub train` left, and which of its weights are meant
base.py        the model that was trained: where it lies here, and what the world calls it
data.py        the published dataset that holds the very rows that were trained on
results.py     scores of evaluations, for the card
"""
