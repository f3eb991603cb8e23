"""Rounds (online PLUM): the model answers, is trained on what came of it, and answers again.

    runs/NAME/
      settings.json           how each round trains
      rounds.jsonl            one line a round: its release, its checkpoint, what it gained
      rounds/0000/            the test suites of all instructions
      rounds/0000/held-out/   what the first model answers to the held-out instructions
      rounds/0001/            a run on the training instructions; `checkpoint/`, and its whole model as `MODEL-round-1/`
      rounds/0001/held-out/   what that model answers to the held-out instructions

rounds.py   goes from one round to the next
folder.py   what lies where
labels.py   whether a round has what it needs to go on
gain.py     two models on the same held-out instructions
"""
