"""Rows of settings in which each two values of two settings meet in some row: what two settings do together, once, without all
combinations. The same settings give the same rows."""

import itertools
import random

TRIES = 8           # rows that are made for each one that is taken


def pairs(row):
    return set(itertools.combinations(sorted(row.items()), 2))


def rows(settings):
    """settings: name -> values. Each row takes the values that bring the most pairs that are new."""
    rng = random.Random("pairwise")
    left = {pair for one, other in itertools.combinations(sorted(settings), 2)
            for pair in itertools.product(((one, value) for value in settings[one]), ((other, value) for value in settings[other]))}
    taken = []
    while left:
        made = [row_of(settings, left, rng) for _ in range(TRIES)]
        taken.append(max(made, key=lambda row: len(pairs(row) & left)))
        left -= pairs(taken[-1])
    return taken


def row_of(settings, left, rng):
    row = dict(rng.choice(sorted(left, key=repr)))
    for name in rng.sample(sorted(settings), len(settings)):
        if name not in row:
            values = rng.sample(settings[name], len(settings[name]))
            row[name] = max(values, key=lambda value: len(pairs({**row, name: value}) & left))
    return row
