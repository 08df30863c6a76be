"""The inner loop of a kernel in the machine code of several vendors: what is multiplied there, and what else is done.

A text is cut into instructions. Each has a class:
  dot      a dot or matrix instruction
  multiply a multiplication, in a kernel that has no dots
  shared   a load or store of local (shared) memory, with the bytes of a work-item
  global   a load or store of global memory
  scalar   done once for all work-items of a wave by units of its own (AMD)
  control  branches, waits, barriers: no result
  other    every other instruction, so address arithmetic, moves, conversions

Loops are those of the graph of jumps, for compilers lay out blocks in any order. The hot loop is the one with the most
products outside of loops in it. The fill loop is the smallest loop around it: there a tile is brought to local memory.
"""
import re
import struct
from collections import namedtuple

# target: the index jumped to; falls: whether the next instruction may come next.
Instruction = namedtuple('Instruction', 'cls products bytes weight target falls')
CLASSES = ('shared', 'global', 'scalar', 'control', 'other')


class Counts:
    """Instructions of a stretch of code, by class, a work-item's."""

    def __init__(self, instructions=()):
        self.products = 0  # multiply-adds of a work-item
        self.useful = 0    # the instructions that do them,
        self.dots = 0      # of which for dot products or matrices
        self.shared_bytes = 0
        for name in CLASSES:
            setattr(self, name, 0)
        for i in instructions:
            if i.cls in ('dot', 'multiply'):
                self.useful += i.weight
                self.dots += i.weight if i.cls == 'dot' else 0
                self.products += i.products
            else:
                setattr(self, i.cls, getattr(self, i.cls) + i.weight)
                self.shared_bytes += i.bytes

    @property
    def all(self):
        return self.useful + sum(getattr(self, name) for name in CLASSES)


# ---- dialects: a line to (opcode, its class, products, bytes, label jumped to) --------------------------

def dims(text, lanes):
    found = re.search(r'm?(\d+)[xn](\d+)[xk](\d+)', text)
    return int(found[1]) * int(found[2]) * int(found[3]) / lanes


AMD_SIZES = {'b128': 16, 'b96': 12, 'b64': 8, 'b32': 4, 'u16': 2, 'i16': 2, 'b16': 2, 'u8': 1, 'i8': 1, 'b8': 1}


def amd(op, line):
    if re.match(r'v_dot4', op):
        return 'dot', 4, 0
    if re.match(r'v_wmma_i32', op):
        return 'dot', dims(op, 32), 0
    if re.match(r'v_(s?mfma|smfmac)_i32', op):
        return 'dot', dims(op, 64), 0
    if re.match(r'v_(pk_)?(mul|mad|fma|mac|fmac)', op):
        return 'multiply', 1, 0
    if op.startswith('ds_'):
        size = next((n for name, n in AMD_SIZES.items() if name in op), 4)
        return 'shared', 0, size * (2 if re.match(r'ds_(read|load|write|store)2', op) else 1)
    if re.match(r'(global|buffer|flat|scratch|image)_(load|store|atomic)', op):
        return 'global', 0, 0
    if re.match(r's_(c?branch|waitcnt|wait|nop|barrier|endpgm|clause|delay|inst_prefetch|sleep|setprio|code_end)', op):
        return 'control', 0, 0
    return ('scalar' if op.startswith('s_') else 'other'), 0, 0


def ptx(op, line):
    if op.startswith('dp4a'):
        return 'dot', 4, 0
    if op.startswith('mma.sync'):
        return 'dot', dims(op, 32), 0
    if re.match(r'(mul|mad|fma)', op):
        return 'multiply', 1, 0
    if re.match(r'(ld|st)\.shared|ldmatrix', op):
        many = re.search(r'\.[vx](\d)', op)
        size = re.search(r'\.[bsuf](\d+)$', op)
        one = 4 if op.startswith('ldmatrix') else int(size[1]) // 8 if size else 4
        return 'shared', 0, one * (int(many[1]) if many else 1)
    if re.match(r'(ld|st|atom|red)\.', op) and not op.startswith('ld.param'):
        return 'global', 0, 0
    if re.match(r'(bra|bar|ret|exit|membar)', op):
        return 'control', 0, 0
    return 'other', 0, 0


def nak(op, line):
    if op.startswith('idp4'):
        return 'dot', 4, 0
    if op.startswith('imma'):
        return 'dot', dims(op, 32), 0
    if re.match(r'(imad|imul|ffma|fmul)', op):
        return 'multiply', 1, 0
    if re.match(r'(ld|st)\.shared|ldsm', op):
        many, size = re.search(r'\.x(\d)', op), re.search(r'\.b(\d+)', op)
        return 'shared', 0, 4 * int(many[1]) if many else int(size[1]) // 8 if size else 4
    if re.match(r'(ld|st|atom|red)\.global', op):
        return 'global', 0, 0
    if re.match(r'(bra|bar|exit|nop|bssy|bsync|bclear|depbar|membar|ccctl|warpsync)', op):
        return 'control', 0, 0
    return 'other', 0, 0


def ir3(op, line):
    if op.startswith('dp4acc'):
        return 'dot', 4, 0
    if re.match(r'(mul|mad)', op):
        return 'multiply', 1, 0
    if re.match(r'(ldl|stl)\b', op):
        many = re.search(r', (\d+)$', line)
        return 'shared', 0, 4 * (int(many[1]) if many else 1)
    if re.match(r'(isam|ldib|stib|ldg|stg|atomic|ldc)', op):
        return 'global', 0, 0
    if re.match(r'(br|jump|nop|bar|fence|end|pred|sync|shp|getone)', op):
        return 'control', 0, 0
    return 'other', 0, 0


def igc(op, line):
    if op.startswith('dp4a'):
        return 'dot', 4, 0
    if op.startswith('dpas'):  # systolic depth of 4 bytes each, times rows
        depth, rows = re.match(r'dpasw?\.(\d+)x(\d+)', op).groups()
        return ('dot', 4 * int(depth) * int(rows), 0) if 'null:d' not in line else ('other', 0, 0)
    if re.match(r'(mul|mad|mach|macl)', op):
        return 'multiply', 1, 0
    if op.startswith('send'):
        if re.search(r'(load|store)\.slm', line):
            size = re.search(r'\.d(\d+)(?:u32)?(?:x(\d+))?', line)
            return 'shared', 0, int(size[1]) // 8 * int(size[2] or 1)
        if '.slm' in op or '.gtwy' in op or 'fence' in line:
            return 'control', 0, 0
        return 'global', 0, 0
    if re.match(r'(goto|jmpi|join|while|if|else|endif|sync|nop|brc|brd|illegal|halt)', op):
        return 'control', 0, 0
    return 'other', 0, 0


# label, opcode, and what of a line is no instruction, in each dialect
LABEL = {'amd': r'(BB\d+|\.LBB\d+_\d+):', 'ptx': r'(\$L\S+):', 'nak': r'block\S* \d+ (L\d+) ', 'ir3': r'(l\d+):',
         'igc': r'(L\d+):'}
JUMP = {'amd': r's_c?branch\S*\s+(\S+)', 'ptx': r'bra(?:\.uni)?\s+(\$\S+?);', 'nak': r'bra .*?(L\d+)',
        # of "goto.b" the second place is behind it
        'ir3': r'(?:br\S*|jump).*#(l\d+)', 'igc': r'(?:goto\.b .*\s(?=L\d+\s*$)|(?:goto|jmpi|while|brc).*?\s)(L\d+)'}
COMMENT = {'ptx': r'\s//', 'igc': r'\s// (?!wr:)'}  # IGC's comments say what a message does
# a jump that is always taken, or the end
ALWAYS = {'amd': r's_(branch|endpgm|setpc)', 'ptx': r'(bra|ret|exit)', 'nak': r'(bra pT|exit)', 'ir3': r'(jump|end\b)',
          'igc': r'(\(W\)\s+)?(goto|jmpi|break|while)'}
CLASSIFY = {'amd': amd, 'ptx': ptx, 'nak': nak, 'ir3': ir3, 'igc': igc}


def opcode(dialect, line):
    """The opcode of a line, how many times it is issued, and how many empty slots follow; None: no instruction."""
    times = slots = 0
    if dialect == 'ptx':
        line = re.sub(r'^@!?%p\d+\s+', '', line)
    elif dialect == 'nak':  # "r1 p0 = op ...", or "op ..." where nothing is written
        line = re.sub(r'^@!?u?p\d+\s+', '', line)
        line = re.split(r'(?<=\s)=\s+', line, maxsplit=1)[-1]
    elif dialect == 'ir3':
        again = re.match(r'(?:\([a-z]+\))*\((rpt|nop)(\d)\)', line)
        if again:
            times, slots = (int(again[2]), 0) if again[1] == 'rpt' else (0, int(again[2]))
        line = re.sub(r'^(\([a-z0-9]+\))+', '', line)
    elif dialect == 'igc':
        line = re.sub(r'^\([^)]*\)\s*', '', line)
    found = re.match(r'[a-zA-Z][\w.:]*', line)
    return found and (found[0], 1 + times, slots)


def resolve(raw):
    """Where a kernel has dots, its multiplications are no products."""
    if any(r[0] == 'dot' for r in raw):
        raw = [('other', 0, *r[2:]) if r[0] == 'multiply' else r for r in raw]
    return [Instruction(*r) for r in raw]


def parse(dialect, text, lanes=None):
    """Instructions of one kernel; lanes: of its waves, where a line says how many of them it is for."""
    places, raw = {}, []
    if dialect == 'igc' and not lanes:
        lanes = max(int(n) for n in re.findall(r'\((\d+)\)', text))
    for line in text.splitlines():
        line = re.split(COMMENT.get(dialect, r'\s//|;\s'), line.strip())[0].strip()
        label = re.match(LABEL[dialect], line)
        if label:
            places[label[1]] = len(raw)
            continue
        found = opcode(dialect, line)
        if not found or line.startswith('.') or line.endswith(':'):
            continue
        op, weight, slots = found
        cls, products, size = CLASSIFY[dialect](op, line)
        if dialect == 'igc':
            width = re.search(r'\((\d+)(?:\|M\d+)?\)', line)
            width = int(width[1]) if width else lanes
            weight = max(width, 8) / lanes
            size *= width / lanes  # a block of words is a message of one lane
        else:
            size *= weight
        jump = re.search(JUMP[dialect], line)
        falls = not re.match(ALWAYS[dialect], line)
        raw.append((cls, products * weight, size, weight, jump and jump[1], falls))
        if slots:
            raw.append(('control', 0, 0, slots, None, True))
    return resolve([r[:4] + (places.get(r[4]),) + r[5:] for r in raw])


# ---- NVIDIA's machine code from Volta on: 16 bytes an instruction ----------------------------------------

# The opcode is the low 9 bits: https://docs.nvidia.com/cuda/cuda-binary-utilities names them, the values are those
# seen where nvdisasm shows both.
SASS = {0x26: ('dot', 4), 0x37: ('dot', 0), 0x24: ('multiply', 1), 0x25: ('multiply', 1), 0x27: ('multiply', 1),
        0x23: ('multiply', 1), 0x20: ('multiply', 1)}
SASS_SHARED = {0x184: 'load', 0x188: 'load', 0x3b: 'matrix'}
SASS_GLOBAL = {0x181, 0x186, 0x183, 0x187, 0x1ae, 0x1a8}
SASS_CONTROL = {0x147, 0x14d, 0x11d, 0x118, 0x145, 0x141, 0x148, 0x12f, 0x1af}
SASS_BYTES = (1, 1, 2, 2, 4, 8, 16, 16)


def sass(code, arch, matrix_products):
    """code: the bytes of one kernel's section; arch: 80 is sm_80; matrix_products: of IMMA, a lane."""
    raw = []
    for at in range(0, len(code) // 16 * 16, 16):
        low, high = struct.unpack_from('<QQ', code, at)
        op, target, size = low & 0x1ff, None, 0
        if op == 0x147:
            words = low >> 34 | (high & 0x3ffff) << 30
            words -= words >> 47 << 48
            target = (at + 16 + 4 * (words << 8 | low >> 16 & 255 if arch >= 90 else words)) // 16
        if op in SASS:
            cls, products = SASS[op]
            products = products or matrix_products
        elif op in SASS_SHARED:
            cls, products = 'shared', 0
            size = (4, 8, 16, 16)[high >> 8 & 3] if op == 0x3b else SASS_BYTES[high >> 9 & 7]
        else:
            products = 0
            cls = 'global' if op in SASS_GLOBAL else 'control' if op in SASS_CONTROL else 'other'
        falls = op not in (0x147, 0x14d) or low >> 12 & 15 != 7
        raw.append((cls, products, size, 1, target, falls))
    return resolve(raw)


def section(elf, name):
    """The bytes of a section of an ELF file of 64 bits, or None."""
    start, = struct.unpack_from('<Q', elf, 0x28)
    size, count, names = struct.unpack_from('<HHH', elf, 0x3a)
    heads = [struct.unpack_from('<IIQQQQ', elf, start + i * size) for i in range(count)]
    for head in heads:
        at = heads[names][4] + head[0]
        if elf[at:elf.index(b'\0', at)].decode() == name:
            return elf[head[4]:head[4] + head[5]]
    return None


# ---- loops -------------------------------------------------------------------------------------------------

def natural_loops(instructions):
    """Sets of the indices of each loop: what reaches a jump back to the head without passing the head."""
    count = len(instructions)
    before = [[] for _ in range(count + 1)]
    after = [[] for _ in range(count)]
    for at, i in enumerate(instructions):
        if i.falls:
            after[at].append(at + 1)
        if i.target is not None:
            after[at].append(i.target)
        for to in after[at]:
            before[to].append(at)
    # Jumps to what is open in a walk from the start close loops.
    state, tails, walk = [0] * (count + 1), {}, [(0, 0)]
    state[0] = 1
    while walk:
        at, edge = walk.pop()
        if at < count and edge < len(after[at]):
            walk.append((at, edge + 1))
            to = after[at][edge]
            if state[to] == 1:
                tails.setdefault(to, []).append(at)
            elif state[to] == 0:
                state[to] = 1
                walk.append((to, 0))
        else:
            state[at] = 2
    for head, ends in tails.items():
        loop, todo = {head}, list(ends)
        while todo:
            at = todo.pop()
            if at not in loop:
                loop.add(at)
                todo += before[at]
        yield loop


def hot_loop(instructions):
    """Counts of the whole, of the hot loop, and of what is in the fill loop but not in the hot one."""
    def counts(places):
        return Counts([instructions[i] for i in places])

    total = Counts(instructions)
    loops = [(loop, counts(loop)) for loop in natural_loops(instructions)]
    # Without what inner loops do: one for a tail of k is no part of it.
    own = [(a[0], counts(a[0].difference(*(b[0] for b in loops if b[1].products and b[0] < a[0])))) for a in loops]
    hot = max((a for a in own if a[1].products), key=lambda a: a[1].products, default=None)
    if not hot:
        return total, Counts(), Counts()
    around = min((a[0] for a in loops if hot[0] < a[0]), key=len, default=hot[0])
    return total, hot[1], counts(around - hot[0])
