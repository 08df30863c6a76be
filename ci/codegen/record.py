"""What compilers made of the rows, as it is kept in counts.tsv: one line a row and target."""
from collections import namedtuple

from loops import CLASSES

LOOP = ('useful', 'products', 'shared_bytes') + CLASSES
FIELDS = ('api', 'target', 'row', 'tool', 'needs', 'owns', 'niche', 'mr', 'nr', 'deep', 'lanes', 'total', 'dots') + \
    tuple('hot_' + n for n in LOOP) + tuple('fill_' + n for n in LOOP) + ('registers', 'spills', 'local', 'occupancy')
TEXT = ('api', 'target', 'row', 'tool', 'needs', 'owns', 'niche')
Entry = namedtuple('Entry', FIELDS)
HEADING = '# Written by ci/codegen.sh --record: what compilers made of the rows. Compared at each run; docs/codegen.md is made of it.'


def number(value):
    """As it is written: whole numbers without a fraction, '-' for what a compiler does not tell."""
    return '-' if value is None else f'{value:.4g}' if value != int(value) else str(int(value))


def entry(target, tool, row, kernel, spills, owns):
    total, hot, fill = kernel.counts
    loops = [getattr(counts, name) for counts in (hot, fill) for name in LOOP]
    texts = [row.api, target, row.name, tool, ','.join(row.needs) or '-', 'yes' if owns else 'no', row.niche]
    numbers = [row.mr, row.nr, row.deep, row.lanes, total.useful, total.dots, *loops, kernel.registers, spills,
               kernel.local, kernel.occupancy]
    return read_line('\t'.join(texts + [number(n) for n in numbers]))


def read_line(line):
    words = line.rstrip('\n').split('\t')
    return Entry(*[w if name in TEXT else None if w == '-' else float(w) for name, w in zip(FIELDS, words, strict=True)])


def write_line(e):
    return '\t'.join(w if name in TEXT else number(w) for name, w in zip(FIELDS, e))


def key(e):
    return e.api, e.target, e.row


def hot_all(e):
    return e.hot_useful + sum(getattr(e, 'hot_' + n) for n in CLASSES)


def read(path):
    try:
        with open(path, encoding='utf-8') as file:
            return {key(e): e for e in (read_line(line) for line in file if not line.startswith(('#', 'api\t')))}
    except FileNotFoundError:
        return {}


def write(path, entries):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(HEADING + '\n' + '\t'.join(FIELDS) + '\n')
        for e in sorted(entries.values(), key=key):
            file.write(write_line(e) + '\n')
