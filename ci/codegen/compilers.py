"""Compilers of the rows for GPUs that are not there: each takes rows and gives kernels."""
import os
import re
import shutil
from collections import namedtuple

import loops
from places import Missing

# needs: features by their names in 'qdot devices'; lanes: work-items of a group, 0: as the problem suits.
Row = namedtuple('Row', 'api name needs mr nr deep lanes niche owns options text')
Kernel = namedtuple('Kernel', 'name counts registers spills local occupancy')
CLC = '/usr/lib/clc'


class Refused(Exception):
    """What a compiler says of a text that it does not take."""


def first_error(text):
    found = re.search(r'.*(error|fatal|Error|undeclared).*', text)
    return re.sub(r'\S*/', '', found[0] if found else text[-200:]).strip()[:160]


# ---- the texts of the OpenCL rows --------------------------------------------------------------------------

def opencl_rows(place, build):
    status, said = place.run([f'{build}/opencl_texts', 'u8', place.directory])
    if status:
        raise Missing(said)
    rows = []
    for name in sorted(os.listdir(place.directory)):
        if not name.endswith('.cl'):
            continue
        with open(f'{place.directory}/{name}', encoding='utf-8') as file:
            text = file.read()
        _, needs, mr, nr, deep, lanes, niche, options = text.split('\n', 1)[0].split(' ', 7)
        rows.append(Row('opencl', name[:-3], [] if needs == 'none' else needs.split(','), int(mr), int(nr), int(deep),
                        int(lanes), niche, None, options, text))
    return rows


# ---- AMD by clang -------------------------------------------------------------------------------------------

class ClangAmd:
    dialect = 'amd'

    def __init__(self, place, version, library):
        self.place, self.version, self.library = place, version, library
        status, said = place.run([f'clang-{version}', '--version'])
        if status:
            raise Missing(f'no clang-{version}')
        self.tool = 'clang ' + re.search(r'version (\d+)', said)[1]
        if not os.path.exists(place.root + library):
            raise Missing(f'no libclc-{version}')

    def kernels(self, row, arch, extra=()):
        out = f'{row.name}.{arch}.s'
        source = f'{row.name}.cl'
        with open(f'{self.place.directory}/{source}', 'w', encoding='utf-8') as file:
            file.write(row.text)
        status, said = self.place.run(
            [f'clang-{self.version}', '-x', 'cl', *row.options.split(), '-Dasm=__asm__', '-O3', '-target',
             'amdgcn-amd-amdhsa', f'-mcpu={arch}', '-nogpulib', '-Xclang', '-mlink-builtin-bitcode', '-Xclang',
             self.library, *extra, '-S', '-o', f'{self.place.directory}/{out}', f'{self.place.directory}/{source}'])
        if status:
            raise Refused(first_error(said))
        with open(f'{self.place.directory}/{out}', encoding='utf-8') as file:
            text = file.read()
        notes = {}
        for block in re.split(r'^  - ', text[text.index('amdhsa.kernels:'):], flags=re.M):
            value = {k: v for k, v in re.findall(r'^ *\.(\w+): +([\w.]+)$', block, flags=re.M)}
            names = re.findall(r'^    \.name: +(\w+)$', block, flags=re.M)
            if names and 'vgpr_count' in value:
                notes[names[-1]] = value
        kernels = []
        for name, value in notes.items():
            body = re.search(rf'^{name}:(.*?)^\.Lfunc_end', text, flags=re.M | re.S)
            after = text[body.end():body.end() + 4000]
            occupancy = re.search(r'; Occupancy: (\d+)', after)
            kernels.append(Kernel(name, loops.hot_loop(loops.parse('amd', body[1])), int(value['vgpr_count']),
                                  int(value['vgpr_spill_count']),  # scalar ones go to lanes of vector registers
                                  int(value['group_segment_fixed_size']), occupancy and int(occupancy[1])))
        return kernels


# ---- NVIDIA by clang, then ptxas ---------------------------------------------------------------------------

class Ptxas:
    # warps and bytes of shared memory of a multiprocessor: CUDA C++ Programming Guide, compute capabilities
    LIMITS = {61: (64, 96), 75: (32, 64), 80: (64, 164), 90: (64, 228)}

    def __init__(self, place, ptxas):
        self.place, self.ptxas = place, ptxas
        for tool in ('clang-15', ptxas):
            if not shutil.which(tool):
                raise Missing(f'no {tool}')
        if not os.path.exists(f'{CLC}/nvptx64--nvidiacl.bc'):
            raise Missing('no libclc-15')
        status, said = place.run([ptxas, '--version'])
        self.tool = 'ptxas ' + re.search(r'release ([\d.]+)', said)[1]

    def occupancy(self, arch, registers, local, lanes):
        warps, kib = self.LIMITS[arch]
        group = max(1, (lanes or 64) // 32)
        groups = 65536 // ((registers + 7) // 8 * 8 * 32 * group)
        if local:
            groups = min(groups, kib * 1024 // (local + (1024 if arch >= 80 else 0)))
        return min(groups * group, warps // group * group)

    def kernels(self, row, arch, extra=()):
        number = int(arch[3:])
        base = f'{self.place.directory}/{row.name}.{arch}'
        with open(f'{base}.cl', 'w', encoding='utf-8') as file:
            file.write(row.text)
        # clang-15 does not know sm_90: ptxas takes what is for sm_80
        status, said = self.place.run(
            ['clang-15', '-x', 'cl', *row.options.split(), '-Dasm=__asm__', '-O3', '-target', 'nvptx64--nvidiacl',
             '-Xclang', '-target-cpu', '-Xclang', 'sm_80' if number > 80 else arch, '-Xclang', '-target-feature',
             '-Xclang', '+ptx70', '-Xclang', '-mlink-builtin-bitcode', '-Xclang', f'{CLC}/nvptx64--nvidiacl.bc',
             '-S', '-o', f'{base}.ptx', f'{base}.cl'])
        if status:
            raise Refused(first_error(said))
        status, said = self.place.run([self.ptxas, '-v', f'-arch={arch}', *extra, f'{base}.ptx', '-o', f'{base}.cubin'])
        if status:
            raise Refused(first_error(said))
        with open(f'{base}.ptx', encoding='utf-8') as file:
            ptx = file.read()
        with open(f'{base}.cubin', 'rb') as file:
            cubin = file.read()
        matrix = re.search(r'mma\.sync\S*\.(m\d+n\d+k\d+)', ptx)
        kernels = []
        for part in said.split('Compiling entry function')[1:]:
            name = re.search(r"'(\w+)'", part)[1]
            registers = int(re.search(r'Used (\d+) registers', part)[1])
            local = re.search(r'(\d+) bytes smem', part)
            local = int(local[1]) if local else 0
            spills = sum(int(n) for n in re.findall(r'(\d+) bytes spill', part))
            if number >= 70:
                code = loops.sass(loops.section(cubin, f'.text.{name}'), number,
                                  loops.dims(matrix[1], 32) if matrix else 0)
            else:  # Pascal's machine code has another form: the loop is that of PTX
                body = re.search(rf'\.entry {name}\(.*?^}}', ptx, flags=re.M | re.S)[0]
                code = loops.parse('ptx', body)
            kernels.append(Kernel(name, loops.hot_loop(code), registers, spills, local,
                                  self.occupancy(number, registers, local, row.lanes)))
        return kernels


# ---- Intel by ocloc -----------------------------------------------------------------------------------------

class Ocloc:
    def __init__(self, place):
        self.place = place
        status, said = place.run(['dpkg-query', '-W', '-f', '${Version}', 'libigc2'])
        if status:
            raise Missing('no libigc2 and intel-ocloc')
        self.tool = 'IGC ' + re.match(r'[\d.]+', said)[0]

    def kernels(self, row, arch, extra=()):
        place, base = self.place, f'{row.name}.{arch}'
        os.makedirs(f'{place.directory}/{base}/d', exist_ok=True)
        with open(f'{place.directory}/{base}/k.cl', 'w', encoding='utf-8') as file:
            file.write(row.text)
        inside = f'{place.directory}/{base}'
        status, said = place.run(['ocloc', 'compile', '-file', f'{inside}/k.cl', '-device', arch, '-out_dir', inside,
                                  '-output', 'k', '-output_no_suffix', '-options', ' '.join((row.options, *extra))])
        if status:
            raise Refused(first_error(said))
        status, said = place.run(['ocloc', 'disasm', '-file', f'{inside}/k.bin', '-device', arch, '-dump',
                                  f'{inside}/d'])
        if status:
            raise Refused(first_error(said))
        with open(f'{place.directory}/{base}/d/.ze_info', encoding='utf-8') as file:
            info = file.read()
        info = info[:info.find('kernels_misc_info')]
        kernels = []
        for block in re.split(r'^  - name: +', info, flags=re.M)[1:]:
            name = block.split()[0]
            value = {k: int(v) for k, v in re.findall(r'^ +(\w+): +(\d+)$', block, flags=re.M)}
            path = f'{place.directory}/{base}/d/.text.{name}.asm'
            if not os.path.exists(path):
                continue
            with open(path, encoding='utf-8') as file:
                code = loops.parse('igc', file.read(), value['simd_size'])
            threads = (8 if arch not in ('tgllp', 'dg1', 'adl-s') else 7) * 128 // value['grf_count']
            kernels.append(Kernel(name, loops.hot_loop(code), value['grf_count'], value.get('spill_size', 0),
                                  value.get('slm_size', 0), threads))
        return kernels


# ---- AMD through an OpenCL API: Mesa's rusticl over radeonsi --------------------------------------------------

class Rusticl:
    def __init__(self, place, build):
        self.place, self.build = place, build
        status, said = place.run(['dpkg-query', '-W', '-f', '${Version}', 'mesa-opencl-icd'])
        if status:
            raise Missing('no mesa-opencl-icd')
        self.tool = 'rusticl ' + said.split('-')[0]

    def kernels(self, row, arch, extra=()):
        path = f'{self.place.directory}/{row.name}.{arch}.cl'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(row.text)
        status, said = self.place.run(
            [f'{self.build}/opencl_build', path, ' '.join((row.options, *extra))],
            {'OCL_ICD_VENDORS': '/etc/OpenCL/vendors/rusticl.icd', 'RUSTICL_ENABLE': 'radeonsi',
             'AMDGPU_GPU_ID': arch.partition('-')[2], 'LD_PRELOAD': 'libamdgpu_noop_drm_shim.so',
             'AMD_DEBUG': 'cs,asm,stats', 'MESA_SHADER_CACHE_DISABLE': 'true'})
        if status:
            raise Refused(first_error(said))
        kernels = []
        for part in said.split('Shader Stats: ')[1:]:
            stats = dict(re.findall(r'([A-Z][\w ]*?): (\d+)', part.split('\n', 1)[0]))
            code = part.partition('disassembly:')[2].partition('*** SHADER')[0]
            kernels.append(Kernel('', loops.hot_loop(loops.parse('amd', code)), int(stats['VGPRS']),
                                  int(stats['Spilled VGPRs']),
                                  int(stats['LDS']), int(stats['Max Waves'])))
        if not kernels:
            raise Refused('no assembly was printed')
        return kernels


# ---- Vulkan drivers: tests/vk_codegen.c ---------------------------------------------------------------------

class Vulkan:
    """One driver: the dialect of its assembly, and the names of its statistics."""
    STATISTICS = {
        'registers': ('VGPRs', 'Number of GPRs', 'Registers used', 'GRF registers'),
        'spills': ('Spilled SGPRs', 'Spilled VGPRs', 'Spills to memory', 'STP Count', 'Spills'),
        'scratch': ('Scratch size', 'Scratch Memory Size', 'SLM size'),  # bytes: arrays that are no registers, too
        'local': ('LDS size', 'Workgroup Memory Size'),
        'occupancy': ('Subgroups per SIMD', 'Max warps/SM', 'Max Waves Per Core'),
    }

    def __init__(self, place, build, dialect, environment):
        self.place, self.build, self.dialect, self.environment = place, build, dialect, environment

    def compile(self, name):
        """[(row, kernel of its multiplication, spills of all its pipelines)]; the first is the control."""
        place = self.place
        out = f'{place.directory}/vulkan.{name}'
        os.makedirs(out)
        status, said = place.run([f'{self.build}/vk_codegen', f'{place.directory}/vulkan.{name}'],
                                 self.environment)
        if status in (134, -6):  # an abort: this Mesa does not know the name
            raise Missing(f'this driver does not know {name}')
        if status:
            raise Refused(f'exit status {status}: {said.strip()[-160:]}')
        self.device = said.strip().splitlines()[-1]
        rows = {}
        for file in sorted(os.listdir(out)):
            row, step, spills, kernel = self.read(f'{out}/{file}')
            one = rows.setdefault(row.name, [row, None, 0])
            one[2] += spills
            # of several output types the first, u8
            if step == 0 and not one[1]:
                one[1] = kernel
        shutil.rmtree(out)
        return list(rows.values())

    def read(self, path):
        with open(path, encoding='utf-8', errors='replace') as file:
            head, _, text = file.read().partition('\ntext ')
        value, stats = {}, {}
        for line in head.splitlines():
            key, _, rest = line.partition(' ')
            if key == 'stat':
                number, _, name = rest.partition(' ')
                stats[name] = int(number)
            else:
                value[key] = rest
        tile = [int(n) for n in value['tile'].split()]
        row = Row('vulkan', value['row'], [n for n in value['needs'].split(',') if n], *tile, value['for'],
                  value['owns'] == 'yes', None, None)
        found = {key: [stats[n] for n in names if n in stats] for key, names in self.STATISTICS.items()}
        spills = sum(found['spills']) or sum(found['scratch'])
        step = int(value['step'])
        kernel = None
        if step == 0 and value['out'] in ('1', '3'):
            kernel = Kernel(value['row'], loops.hot_loop(loops.parse(self.dialect, text.partition('\n')[2])),
                            *[found[k][0] if found[k] else None for k in ('registers',)], spills,
                            *[found[k][0] if found[k] else None for k in ('local', 'occupancy')])
        return row, step, spills, kernel
