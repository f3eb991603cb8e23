"""Faults at drawn points of a build and of a training, after which the same command must end in the same release.

hook/sitecustomize.py  counts file operations in every Python process of a command, and strikes at the Nth
attempt.py             one point: the command with the fault, the same command again, and what there is then
points.py              which points there are, and what each must end in
facts.py               what was made, without what may differ between two runs
damage.py              one damaged byte in each kind of file, and caches that were cut short
"""
