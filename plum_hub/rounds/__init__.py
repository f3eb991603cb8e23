"""Rounds (online PLUM): the model samples, is trained on the labelled answers, and samples again.

    runs/NAME/
      settings.json           training settings of every round
      rounds.jsonl            one `RoundRecord` per round: its release, its checkpoint, its gain
      rounds/0000/            the test suites of all instructions
      rounds/0000/held-out/   the first model's answers to the held-out instructions
      rounds/0001/            a run on the training instructions; `checkpoint/`, and the whole model as `MODEL-round-1/`
      rounds/0001/held-out/   that model's answers to the held-out instructions

run.py      runs one round after the other
record.py   the content of `rounds.jsonl`
folder.py   paths and records
labels.py   checks whether a round can continue
gain.py     compares two models on the same held-out instructions
"""
