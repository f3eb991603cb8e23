"""Training on labelled answers: KTO, DPO and SFT with TRL. Rows arrive in TRL's formats.

settings.py     every setting, and how `--set KEY=VALUE` composes them
data.py         rows from a run, a release or a file
lengths.py      rows that fit `max_length`
balance.py      KTO's class weights and batch size
batch_order.py  the row order that gives KTO valid batches
preflight.py    what TRL will pair and batch, read from TRL itself
memory.py       memory estimate
device.py       what `auto` settings resolve to on this device
base.py         the model to train, pinned
trainer.py      TRL's trainers, with divergence guards
heap.py         malloc settings for training on a CPU
launch.py       commands that train in child processes
record.py       the content of `training.json`
checkpoint.py   the checkpoint folder
load_check.py   proof that a published model answers as its checkpoint does
run.py          the training itself
"""
