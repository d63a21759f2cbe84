"""``serinus demo``: the main job on one machine, told as a story and checked to its end.

It starts the same programs a user starts, as processes and through their
commands, so it proves the way users go and imports nothing of training.
"""
