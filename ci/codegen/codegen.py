#!/usr/bin/env python3
"""What the OpenCL and Vulkan rows become on real GPUs, by compilers that need none. See ci/codegen.sh."""
import argparse
import collections
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import record
import tables
from compilers import ClangAmd, Ocloc, Ptxas, Refused, Rusticl, Vulkan, opencl_rows
from places import Chroot, Here, Missing, wheel_ptxas

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
COUNTS = f'{HERE}/counts.tsv'

# An OpenCL target: the compiler, the features whose instructions it owns, and whether rows that claim none are
# compiled for it too. 'more': not by what Debian 12 has.
OpenCl = collections.namedtuple('OpenCl', 'name compiler owns plain more')
OPENCL = [
    OpenCl('gfx906', 'clang-19', {'amd_dot'}, False, False),
    OpenCl('gfx908', 'clang-19', {'mfma'}, False, False),
    OpenCl('gfx90a', 'clang-19', {'amd_dot', 'mfma'}, False, False),
    OpenCl('gfx942', 'clang-19', {'amd_dot', 'mfma'}, False, False),
    OpenCl('gfx1030', 'clang-19', {'amd_dot'}, True, False),
    OpenCl('gfx1100', 'clang-19', {'amd_dot', 'wmma'}, False, False),
    OpenCl('gfx1200', 'clang-19', {'amd_dot', 'wmma'}, False, False),
    OpenCl('gfx1201', 'clang-22', {'wmma', 'amd_dot'}, False, True),
    OpenCl('sm_61', 'ptxas-12', {'dp4a'}, False, True),
    OpenCl('sm_75', 'ptxas', {'dp4a'}, False, False),
    OpenCl('sm_80', 'ptxas', {'dp4a', 'mma'}, True, False),
    OpenCl('sm_90', 'ptxas', {'dp4a', 'mma'}, False, False),
    OpenCl('tgllp', 'ocloc', {'khr_dot'}, False, True),
    OpenCl('mtl-u', 'ocloc', {'khr_dot'}, False, True),
    OpenCl('dg2', 'ocloc', {'khr_dot', 'dpas8'}, True, True),
    OpenCl('arl-h', 'ocloc', {'dpas8'}, False, True),
    OpenCl('pvc', 'ocloc', {'khr_dot', 'dpas16'}, False, True),
    OpenCl('lnl-m', 'ocloc', {'khr_dot', 'dpas16'}, False, True),
    OpenCl('bmg', 'ocloc', {'khr_dot', 'dpas16'}, False, True),
    OpenCl('ptl-h', 'ocloc', {'dpas16'}, False, True),
    OpenCl('rusticl-navi21', 'rusticl', {'khr_dot'}, False, True),
    OpenCl('rusticl-navi31', 'rusticl', {'khr_dot'}, True, True),
    OpenCl('rusticl-gfx1201', 'rusticl', {'khr_dot'}, False, True),
]


def claims_of(row):
    """The instructions that an OpenCL row needs: features, but AMD's two matrix units are one feature and two names."""
    names = set(row.needs) - {'gpu', 'clblast'}
    return {row.name.rsplit('_', 1)[1] if name == 'amd_matrix' else name for name in names}


# A Vulkan target: names by which drivers know it (Mesa 22.3's, then newer), or how a shim is told of it. What it owns
# the driver says; 'dots': whether that must be any dot product at all.
VulkanTarget = collections.namedtuple('VulkanTarget', 'name driver value dots')
VULKAN = [VulkanTarget(*t) for t in (
    ('vega20', 'radv', 'vega20', True), ('navi14', 'radv', 'navi14', True), ('navi21', 'radv', 'navi21', True),
    ('gfx1100', 'radv', 'gfx1100|navi31', True), ('aldebaran', 'radv', 'aldebaran|mi200', True),
    ('vega10', 'radv', 'vega10', False), ('navi10', 'radv', 'navi10', False),
    ('navi31', 'radv-shim', 'navi31', True), ('gfx1201', 'radv-shim', 'gfx1201', True),
    ('tu102', 'nvk', '162', True), ('ga100', 'nvk', '170', True),
    ('adreno660', 'turnip', '660', True), ('adreno740', 'turnip', '740', True),
    ('tgl', 'anv', 'tgl', True), ('dg2', 'anv', 'dg2', True), ('bmg', 'anv', 'bmg', True))]
ICD = '/usr/share/vulkan/icd.d/'
DRIVERS = {  # dialect, tool, in the chroot?, environment with the value in the place of %
    'radv': ('amd', 'RADV', False, {'VK_ICD_FILENAMES': ICD + 'radeon_icd.x86_64.json', 'RADV_FORCE_FAMILY': '%'}),
    'radv-shim': ('amd', 'RADV', True, {'VK_ICD_FILENAMES': ICD + 'radeon_icd.json', 'AMDGPU_GPU_ID': '%',
                                        'LD_PRELOAD': 'libamdgpu_noop_drm_shim.so'}),
    'nvk': ('nak', 'NVK', True, {'VK_ICD_FILENAMES': ICD + 'nouveau_icd.json', 'NOUVEAU_CHIPSET': '%',
                                 'LD_PRELOAD': 'libnouveau_noop_drm_shim.so'}),
    'turnip': ('ir3', 'Turnip', True, {'VK_ICD_FILENAMES': ICD + 'freedreno_icd.json', 'FD_GPU_ID': '%',
                                       'LD_PRELOAD': 'libfreedreno_noop_drm_shim.so'}),
    'anv': ('igc', 'ANV', True, {'VK_ICD_FILENAMES': ICD + 'intel_icd.json', 'INTEL_STUB_GPU_PLATFORM': '%',
                                 'LD_PRELOAD': os.environ.get('QDOT_INTEL_SHIM', '')}),
}


MORE = {('opencl', t.name) for t in OPENCL if t.more} | {('vulkan', t.name) for t in VULKAN if DRIVERS[t.driver][2]}


def spills(entry):
    return f'spills {record.number(entry.spills)}'


class Run:
    def __init__(self, options):
        self.options = options
        self.places, self.compilers = {}, {}
        self.passed = self.failed = self.skipped = 0
        self.old = record.read(COUNTS)
        self.new = {}
        self.done = set()  # (api, target)
        self.rows = set()  # (api, row): those that are

    # ---- verdicts --------------------------------------------------------------------------------------------

    def skip(self, what, why):
        self.skipped += 1
        print(f'skip {what}: {why}', flush=True)

    def verdict(self, what, complaints, known=None):
        if complaints and complaints == known:
            self.skip(what, f'{known[0]}, as recorded')
        elif complaints:
            self.failed += 1
            for complaint in complaints:
                print(f'FAIL {what}: {complaint}', flush=True)
        else:
            self.passed += 1

    def control(self, what, complaints, expected):
        """What must be complained of: a check that cannot fail proves nothing."""
        found = next((c for c in complaints if expected in c), None)
        if found:
            self.passed += 1
            print(f'control {what}: fails, as it must: {found}', flush=True)
        else:
            self.verdict(f'control {what}', [f"'{expected}' was not reported: {complaints or 'nothing'}"])

    # ---- compilers -------------------------------------------------------------------------------------------

    def place(self, chroot):
        if chroot not in self.places:
            try:
                self.places[chroot] = Chroot(self.options.chroot, f'{SOURCE}/ci/chroot.sh', self.options.build) \
                    if chroot else Here()
            except Missing as missing:
                self.places[chroot] = missing
        if isinstance(self.places[chroot], Missing):
            raise self.places[chroot]
        return self.places[chroot]

    def compiler(self, name):
        make = {
            'clang-19': lambda: ClangAmd(self.place(False), 19, '/usr/lib/clc/amdgcn--amdhsa.bc'),
            'clang-22': lambda: ClangAmd(self.place(True), 22, '/usr/lib/clc/amdgcn-amd-amdhsa.bc'),
            'ptxas': self.ptxas,
            'ptxas-12': lambda: Ptxas(self.place(False), wheel_ptxas(self.options.wheel)),
            'ocloc': lambda: Ocloc(self.place(True)),
            'rusticl': lambda: Rusticl(self.place(True), self.options.build),
        }
        if name not in self.compilers:
            try:
                self.compilers[name] = make[name]()
            except Missing as missing:
                self.compilers[name] = missing
        if isinstance(self.compilers[name], Missing):
            raise self.compilers[name]
        return self.compilers[name]

    def ptxas(self):
        try:
            return Ptxas(self.place(False), 'ptxas')
        except Missing:
            if not self.options.more:
                raise
            return self.compiler('ptxas-12')

    # ---- OpenCL ----------------------------------------------------------------------------------------------

    def opencl(self):
        rows = opencl_rows(self.place(False), self.options.build)
        instructions = set().union(*(t.owns for t in OPENCL))
        self.rows.update(('opencl', row.name) for row in rows)
        for row in rows:
            if not claims_of(row) <= instructions:
                self.skip(f'opencl {row.name}', f'no target here is known to own {",".join(claims_of(row))}')
        for target in OPENCL:
            if target.more and not self.options.more or not self.wanted(target.name):
                continue
            mine = [r for r in rows if claims_of(r) <= target.owns and (claims_of(r) or target.plain)]
            try:
                compiler = self.compiler(target.compiler)
            except Missing as missing:
                self.skip(f'opencl {target.name}', str(missing))
                continue
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for row, (entry, refused) in zip(mine, pool.map(lambda r: self.one(compiler, target, r), mine)):
                    if refused:
                        self.verdict(f'opencl {target.name} {row.name}', [refused])
                    else:
                        self.take(entry)
            self.done.add(('opencl', target.name))
        if not self.options.targets:
            self.opencl_controls({r.name: r for r in rows})

    @staticmethod
    def one(compiler, target, row, extra=()):
        """(entry, None) or (None, what the compiler says)."""
        try:
            kernels = compiler.kernels(row, target.name, extra)
        except Refused as refused:
            return None, str(refused)
        # The kernel that multiplies is the one with the most products in a loop.
        main = max(kernels, key=lambda k: (k.counts[0].dots, k.counts[1].products, k.counts[0].products))
        owns = bool(claims_of(row) & target.owns)
        return record.entry(target.name, compiler.tool, row, main, sum(k.spills for k in kernels), owns), None

    def opencl_controls(self, rows):
        plain, dot = rows['gemm_64x64k4'], rows['gemm_64x64k4_amddot']
        try:
            clang = self.compiler('clang-19')
        except Missing as missing:
            self.skip('controls of OpenCL', str(missing))
            return
        gfx1030 = OpenCl('gfx1030', '', {'amd_dot'}, True, False)
        gfx1010 = gfx1030._replace(name='gfx1010')
        self.control('plain C that claims a dot product, gfx1010', self.judge(self.one(
            clang, gfx1010, plain._replace(needs=['amd_dot']))[0]), 'has none')
        refused = self.one(clang, gfx1010, dot)[1]
        self.control('a target without the instruction, gfx1010', [refused] if refused else [], 'needs target feature')
        self.control('24 registers, gfx1030', self.judge(self.one(
            clang, gfx1030, dot, ['-Dkernel=__kernel __attribute__((amdgpu_num_vgpr(24)))'])[0]), 'spills')
        good = self.one(clang, gfx1030, dot)[0]
        worse = good._replace(hot_useful=good.hot_useful + 1)
        self.control('one dot product fewer than recorded', self.judge(good, worse), 'instead of')
        self.control('one more move in the loop than recorded', self.judge(
            good, good._replace(hot_other=good.hot_other - 2)), 'overhead')
        try:
            ptxas = self.compiler('ptxas')
        except Missing as missing:
            self.skip('controls of NVIDIA', str(missing))
            return
        sm_80 = OpenCl('sm_80', '', {'dp4a'}, True, False)
        self.control('plain C that claims dp4a, sm_80', self.judge(self.one(
            ptxas, sm_80, plain._replace(needs=['dp4a']))[0]), 'has none')
        no_spill = self.one(ptxas, sm_80, rows['gemm_64x64k4_dp4a'], ['-maxrregcount=24'])[0]
        self.control('24 registers, sm_80', self.judge(no_spill), 'spills')
        refused = self.one(ptxas, sm_80._replace(name='sm_75'), rows['gemm_128x128k16_mma'])[1]
        self.control('an mma that sm_75 has not', [refused] if refused else [], 'mma')

    # ---- Vulkan ----------------------------------------------------------------------------------------------

    def vulkan(self):
        for target in VULKAN:
            dialect, tool, chroot, environment = DRIVERS[target.driver]
            if chroot and not self.options.more or not self.wanted(target.name):
                continue
            if target.driver == 'anv' and not os.environ.get('QDOT_INTEL_SHIM'):
                self.skip(f'vulkan {target.name}', "no QDOT_INTEL_SHIM: Mesa's libintel_noop_drm_shim.so, which no "
                          'Debian package has')
                continue
            try:
                results, tool = self.vulkan_target(target, dialect, tool, chroot, environment)
            except (Missing, Refused) as error:
                if isinstance(error, Missing):
                    self.skip(f'vulkan {target.name}', str(error))
                else:
                    self.verdict(f'vulkan {target.name}', [str(error)])
                continue
            entries = []
            self.rows.update(('vulkan', row.name) for row, _, _ in results)
            for row, kernel, spilled in results:
                entry = record.entry(target.name, tool, row, kernel, spilled, row.owns)
                if row.name == 'control':
                    self.control(f'16 x 16 outputs each, {target.name}', self.judge(entry), 'spills')
                else:
                    entries.append(entry)
                    self.take(entry)
            self.vulkan_dots(target, entries)
            self.done.add(('vulkan', target.name))

    def vulkan_dots(self, target, entries):
        dots = [e for e in entries if e.dots]
        if target.dots:
            self.verdict(f'vulkan {target.name}', [] if dots else ['no dot product in any row'])
            return
        self.verdict(f'vulkan {target.name}', [f'{e.row}: dot products where there is no such instruction' for e in dots])
        claims = next(e for e in entries if 'int_dot' in e.needs)
        self.control(f'a target without the instruction, {target.name}', self.judge(claims._replace(owns='yes')),
                     'has none')

    def vulkan_target(self, target, dialect, tool, chroot, environment):
        place = self.place(chroot)
        if not os.path.exists(place.root + environment['VK_ICD_FILENAMES']):
            raise Missing(f'no {environment["VK_ICD_FILENAMES"]}: install mesa-vulkan-drivers')
        status, version = place.run(['dpkg-query', '-W', '-f', '${Version}', 'mesa-vulkan-drivers'])
        if not status:
            tool += ' ' + version.split('-')[0]
        unknown = None
        for value in target.value.split('|'):
            driver = Vulkan(place, self.options.build, dialect, {k: v.replace('%', value) for k, v in environment.items()})
            try:
                return driver.compile(f'{target.name}.{value}'), tool
            except Missing as missing:
                unknown = missing
        raise unknown

    # ---- judging ---------------------------------------------------------------------------------------------

    def wanted(self, name):
        return not self.options.targets or name in self.options.targets.split(',')

    def take(self, entry):
        self.new[record.key(entry)] = entry
        old = self.old.get(record.key(entry))
        if self.options.record:
            old = None
        complaints = self.judge(entry, old)
        if not old and not self.options.record:
            complaints.append('not in counts.tsv yet: run ci/codegen.sh BUILD --record')
        elif old and not complaints and old.tool == entry.tool and old != entry:
            differ = ', '.join(f'{n} {getattr(old, n)} -> {getattr(entry, n)}' for n in entry._fields
                               if getattr(old, n) != getattr(entry, n))
            complaints.append(f'not as recorded ({differ}): if that is right, run ci/codegen.sh BUILD --record')
        # Spills on targets beyond Debian 12's are known ones where they were recorded: shown, and no worse.
        known = None
        if old and (entry.api, entry.target) in MORE and 0 < entry.spills <= old.spills:
            known = [spills(entry)]
        self.verdict(f'{entry.api} {entry.target} {entry.row}', complaints, known)

    @staticmethod
    def judge(e, old=None):
        """What is wrong with a row on a target; old: what was recorded."""
        complaints = []
        claims = e.needs != '-' and e.owns == 'yes'
        if claims and not (e.dots and e.hot_products):
            complaints.append(f'claims {e.needs}, and has none' + (' in a loop' if e.dots else ''))
        # A tile for CPUs may spill, and on OpenCL one that is taken on GPUs only where no other is.
        matters = e.niche == 'gpu' or e.niche == 'any' and e.api == 'vulkan'
        if e.spills and matters and (claims or e.needs == '-'):
            complaints.append(spills(e))
        if not old:
            return complaints
        if not matters and e.spills > old.spills:
            complaints.append(f'{spills(e)}, {record.number(old.spills)} before')
        if e.hot_useful < old.hot_useful:
            complaints.append(f'{record.number(e.hot_useful)} useful instructions in the inner loop instead of '
                              f'{record.number(old.hot_useful)}')
        overhead, before = ((record.hot_all(x) - x.hot_useful) / (x.hot_useful or 1) for x in (e, old))
        if old.hot_useful and overhead > before + 0.01:
            complaints.append(f'the overhead of the inner loop grew: {overhead:.2f} instructions for a useful one, '
                              f'{before:.2f} before')
        return complaints

    def keep(self):
        """The record with what is new; rows that are no more are gone from targets that were compiled."""
        targets = {('opencl', t.name) for t in OPENCL} | {('vulkan', t.name) for t in VULKAN}
        kept = {k: e for k, e in record.read(COUNTS).items()
                if k[:2] in targets and (k[:2] not in self.done or (k[0], k[2]) in self.rows)}
        return {**kept, **self.new}

    def close(self):
        for place in self.places.values():
            if not isinstance(place, Missing):
                place.close()


def main():
    parser = argparse.ArgumentParser(prog='ci/codegen.sh', description=__doc__)
    parser.add_argument('build', help='a build directory')
    parser.add_argument('api', nargs='*', choices=['opencl', 'vulkan', []], help='only this')
    parser.add_argument('--more', action='store_true', help="also what needs more than Debian 12's packages")
    parser.add_argument('--targets', help='only these, with commas between')
    parser.add_argument('--record', action='store_true', help='take what is found as what is expected from now on')
    parser.add_argument('--table', action='store_true', help='write the tables of docs/codegen.md')
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.chroot = os.environ.get('QDOT_CODEGEN_CHROOT', f'{options.build}-sid')
    options.wheel = f'{options.build}/codegen-ptxas'
    document = f'{SOURCE}/docs/codegen.md'
    if options.table:
        tables.write(document, record.read(COUNTS))
        return 0
    run = Run(options)
    try:
        for api, work in (('opencl', run.opencl), ('vulkan', run.vulkan)):
            program = f'{options.build}/{"opencl_texts" if api == "opencl" else "vk_codegen"}'
            if options.api and api not in options.api:
                continue
            if os.path.exists(program):
                work()
            else:
                run.skip(api, f'no {program}')
    finally:
        run.close()
    print('\n'.join(tables.lines(run.new.values())))
    if options.record:
        record.write(COUNTS, run.keep())
        tables.write(document, record.read(COUNTS))
    elif not options.targets:
        run.verdict('docs/codegen.md', tables.compare(document, run.old))
    print(f'{run.passed} passed, {run.failed} failed, {run.skipped} skipped')
    return 1 if run.failed else 0


sys.exit(main())
