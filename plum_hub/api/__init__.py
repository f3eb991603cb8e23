"""The Python API: one function for each command that makes something, with the command's options as keyword arguments.

The public names are those of `plum_hub` itself, which imports each from here when it is first used. Every function
takes `progress`, an instance of `plum_hub.Progress` that receives the progress; None is silent. Errors are subclasses
of `plum_hub.PlumError`. The same call resumes what was interrupted.
"""
