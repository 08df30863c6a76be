"""What the counted instructions allow on a part: rates of the part's units, and the least number of clocks.

Rates are of one unit (AMD: compute unit, NVIDIA: multiprocessor, Intel: Xe core) a clock: 'alu' and 'dot' lanes of ordinary
and of dot instructions, 'issue' lanes of any instruction, 'matrix' multiply-adds, 'local' bytes of local memory. 'together':
matrix instructions run on the vector units, so that their clocks add up.
"""
from collections import namedtuple

Part = namedtuple('Part', 'name units ghz issue alu dot matrix local memory targets source together', defaults=(False,))
PARTS = [
    Part('RX 6900 XT', 80, 2.25, None, 64, 64, 0, 128, 512, {'vulkan': ('navi21',), 'opencl': ('gfx1030',)},
         'AMD, RX 6900 XT product page (80 units, 23.04 TFLOPS of float at 2.25 GHz, so 64 lanes; 512 GB/s); AMD, "RDNA 2" '
         'instruction set: V_DOT4 is an ordinary vector instruction; AMD, RDNA white paper: 128 bytes of local memory'),
    Part('RX 7900 XTX', 96, 2.5, None, 64, 64, 256, 128, 960,
         {'vulkan': ('gfx1100', 'navi31'), 'opencl': ('gfx1100',)},
         'AMD, RX 7900 XTX product page (96 units, 2.5 GHz, 960 GB/s); GPUOpen, "How to accelerate AI applications on RDNA 3 '
         'using WMMA": 512 operations of int8, on the vector units; pairs of instructions (VOPD) not counted: dots have none', True),
    Part('A100 SXM', 108, 1.41, 128, 64, 64, 2048, 128, 1555, {'vulkan': ('ga100',), 'opencl': ('sm_80',)},
         'NVIDIA, A100 white paper (108 multiprocessors, 1.41 GHz, 624 TOPS of int8, 1555 GB/s); CUDA C++ Programming Guide, '
         'throughput of native arithmetic instructions (8.0): 64 integer lanes; 4 schedulers, 32 banks of 4 bytes'),
    Part('H100 SXM', 132, 1.83, 128, 64, 64, 4096, 128, 3350, {'opencl': ('sm_90',)},
         'NVIDIA, H100 data sheet (132 multiprocessors, 1979 TOPS of int8 without sparsity, so 1.83 GHz; 3350 GB/s, of the '
         'H200 4800); the same guide (9.0). The matrix rate is that of wgmma: mma.sync is known to reach less'),
    Part('Arc A770', 32, 2.1, None, 128, 128, 2048, 128, 560, {'vulkan': ('dg2',), 'opencl': ('dg2',)},
         'Intel, "Introduction to the Xe-HPG Architecture": a core has 16 vector engines of 8 lanes (64 operations of int8 '
         'by dp4a each) and 16 matrix engines of 256; Intel, oneAPI GPU Optimization Guide: a data port of 128 bytes (that '
         'of Xe-LP); A770 product page (32 cores, 2.1 GHz, 560 GB/s)'),
]
Limit = namedtuple('Limit', 'entry rate bound tops peak best local_bytes global_bytes memory_tops')


def limit(part, e):
    """The throughput that the counted instructions of a row allow, or None where it has no loop."""
    if not e.hot_products:
        return None
    # One fill of the tile and the passes of the hot loop over it; a row without a fill loop has all in the hot one.
    trips = e.mr * e.nr * e.deep / e.lanes / e.hot_products if e.fill_shared and e.lanes and e.deep else 1
    products = trips * e.hot_products

    def count(name):
        return trips * getattr(e, 'hot_' + name) + (getattr(e, 'fill_' + name) if e.fill_shared else 0)

    matrix = e.hot_products / e.hot_useful > 8
    useful, other, local = count('useful'), count('other'), count('shared_bytes')
    everything = useful + other + count('shared') + count('global') + count('control') + count('scalar')
    clocks = {'vector units': ((0 if matrix else useful) + other) / part.alu, 'local memory': local / part.local}
    if part.issue:
        clocks['issue'] = everything / part.issue
    if matrix:
        if not part.matrix:
            return None
        clocks['matrix units'] = products / part.matrix + (clocks['vector units'] if part.together else 0)
    elif e.dots and useful / part.dot >= clocks['vector units']:
        clocks['dot products'] = useful / part.dot
    bound = max(clocks, key=clocks.get)
    scale = part.units * part.ghz * 2 / 1000  # products a clock of a unit to TOPS
    rate = products / clocks[bound]
    peak = part.matrix if matrix else part.dot * 4
    # From global memory a tile takes a row's mr and a column's nr bytes for mr * nr products; a GEMV, B alone: it
    # meets each byte of it once, so memory is its limit.
    vector = e.row.startswith('gemv')
    moved = 1 / e.mr if vector else (e.mr + e.nr) / (e.mr * e.nr) if e.deep else None
    memory = moved and part.memory / 1000 / moved * 2
    if vector and memory < rate * scale:
        rate, bound = memory / scale, 'memory'
    best = max(part.matrix, part.dot * 4)
    return Limit(e, rate, bound, rate * scale, rate / peak, rate / best, local / products, moved, memory)


def limits(part, entries):
    chosen = [e for e in entries.values() if e.target in part.targets.get(e.api, ()) and e.niche == 'gpu' and
              (e.needs == '-' or e.owns == 'yes')]
    found = [limit(part, e) for e in chosen]
    return sorted((f for f in found if f), key=lambda f: (f.entry.api, -f.tops))
