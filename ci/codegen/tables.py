"""The tables of docs/codegen.md, made of counts.tsv."""
import re

import model
import record

GROUPS = [  # heading, api, targets in this order
    ('OpenCL on AMD', 'opencl', ('gfx906', 'gfx908', 'gfx90a', 'gfx942', 'gfx1030', 'gfx1100', 'gfx1200', 'gfx1201')),
    ('OpenCL on NVIDIA', 'opencl', ('sm_61', 'sm_75', 'sm_80', 'sm_90')),
    ('OpenCL on Intel', 'opencl', ('tgllp', 'mtl-u', 'arl-h', 'dg2', 'pvc', 'lnl-m', 'bmg', 'ptl-h')),
    ('OpenCL through rusticl', 'opencl', ('rusticl-navi21', 'rusticl-navi31', 'rusticl-gfx1201')),
    ('Vulkan on AMD, Debian 12', 'vulkan', ('vega20', 'aldebaran', 'navi14', 'navi21', 'gfx1100', 'vega10', 'navi10')),
    ('Vulkan on AMD, Debian unstable', 'vulkan', ('navi31', 'gfx1201')),
    ('Vulkan on NVIDIA', 'vulkan', ('tu102', 'ga100')),
    ('Vulkan on Intel', 'vulkan', ('tgl', 'dg2', 'bmg')),
    ('Vulkan on Adreno', 'vulkan', ('adreno660', 'adreno740')),
]
MARK = re.compile(r'(<!-- ci/codegen.sh: (\w+) -->\n).*?(<!-- end -->)', re.S)


def cell(e):
    """'useful of all in the loop, registers, waves', and what is wrong."""
    if not e:
        return ''
    useful, everything = record.number(round(e.hot_useful)), record.number(round(record.hot_all(e)))
    what = '' if e.dots else ' mul'
    text = f'{useful}{what} of {everything}'
    if e.registers:
        text += f', r{record.number(e.registers)}'
    if e.occupancy:
        text += f' w{record.number(e.occupancy)}'
    if e.spills:
        text += ', **spills**'
    return text


def columns(entries, api, targets):
    mine = {record.key(e): e for e in entries if e.api == api and e.target in targets}
    present = [t for t in targets if any(k[1] == t for k in mine)]
    rows = sorted({k[2] for k in mine})
    return present, [(row, [mine.get((api, t, row)) for t in present]) for row in rows]


def counts(entries):
    text = []
    for heading, api, targets in GROUPS:
        present, rows = columns(entries, api, targets)
        if not rows:
            continue
        tools = sorted({e.tool for _, cells in rows for e in cells if e})
        text += [f'### {heading}', '', f'By {", ".join(tools)}.', '', '| row | ' + ' | '.join(present) + ' |',
                 '|' + '---|' * (len(present) + 1)]
        text += [f'| {row} | ' + ' | '.join(cell(e) for e in cells) + ' |' for row, cells in rows]
        text.append('')
    return text


def throughput(entries):
    entries = {record.key(e): e for e in entries}
    text = []
    for part in model.PARTS:
        found = model.limits(part, entries)
        text += [f'### {part.name}', '', f'{part.units} units at {part.ghz} GHz. {part.source}.', '',
                 '| row | target | products a clock and unit | bound by | TOPS | of the peak of the instruction | of the part\'s '
                 'int8 peak | local bytes a product | global bytes a product | TOPS if all of it came from memory | waves |',
                 '|' + '---|' * 11]
        for f in found:
            e = f.entry
            text.append(
                f'| {e.row} | {e.api} {e.target} | {f.rate:.0f} | {f.bound} | {f.tops:.1f} | {f.peak:.0%} | {f.best:.0%} | '
                f'{f.local_bytes:.3f} | ' + (f'{f.global_bytes:.4f} | {f.memory_tops:.1f}' if f.global_bytes else '- | -') +
                f' | {record.number(e.occupancy)} |')
        text.append('')
    return text


def lines(entries):
    """For the terminal: one line a row and target."""
    head = f'{"target":16} {"row":26} {"total":>6} {"loop":>5} {"of":>6} {"local":>6} {"global":>6} {"regs":>5} {"spills":>7} ' \
           f'{"waves":>5}  local memory'
    text = [head]
    for e in sorted(entries, key=record.key):
        n = record.number
        text.append(f'{e.api[:2] + " " + e.target:16} {e.row:26} {n(e.dots):>6} {n(e.hot_useful):>5} '
                    f'{n(record.hot_all(e)):>6} {n(e.hot_shared):>6} {n(e.hot_global):>6} {n(e.registers):>5} '
                    f'{n(e.spills):>7} {n(e.occupancy):>5}  {n(e.local)}')
    return text


def filled(document, entries):
    with open(document, encoding='utf-8') as file:
        text = file.read()
    entries = list(entries.values())
    made = {'counts': counts, 'throughput': throughput}
    return text, MARK.sub(lambda m: m[1] + '\n' + '\n'.join(made[m[2]](entries)) + m[3], text)


def write(document, entries):
    text = filled(document, entries)[1]
    with open(document, 'w', encoding='utf-8') as file:
        file.write(text)


def compare(document, entries):
    text, expected = filled(document, entries)
    return [] if text == expected else ['its tables are not those of counts.tsv: run ci/codegen.sh BUILD --table']
