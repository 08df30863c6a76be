"""Where a compiler runs: this system, or a Debian unstable that is made when first asked for."""
import os
import shutil
import subprocess
import tempfile
import zipfile

PACKAGES = ['libvulkan1', 'libpthreadpool0', 'mesa-vulkan-drivers', 'mesa-drm-shim', 'mesa-opencl-icd',
            'ocl-icd-libopencl1', 'clang-22', 'libclc-22', 'intel-ocloc', 'libigc2', 'libigdfcl2']
# The last of CUDA 12 knows sm_50 to sm_121; no newer one knows sm_61.
PTXAS_WHEEL = 'nvidia-cuda-nvcc-cu12==12.9.86'


class Missing(Exception):
    """A compiler that is not there, and what would bring it."""


class Here:
    """This system. Files are exchanged in 'directory'."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='qdot-codegen.')
        self.root, self.prefix = '', []

    def run(self, command, environment=None, timeout=1800):
        """(exit status, both outputs); a status below 0 is a signal, 124 too long a time."""
        words = self.prefix + ['env'] + [f'{k}={v}' for k, v in (environment or {}).items()] + command
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return 124, f'no end after {timeout} s'
        return done.returncode, done.stdout.decode(errors='replace')

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class Chroot(Here):
    """Debian unstable in a directory, made by ci/chroot.sh with what is needed where that is missing."""

    def __init__(self, root, script, build):
        done = subprocess.run(['sh', script, 'sid', root] + PACKAGES, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise Missing(done.stderr.decode().strip())
        super().__init__()
        self.root = root
        self.prefix = ['sh', script, 'run', root, '--bind', self.directory, '--bind', build]


def wheel_ptxas(directory):
    """ptxas of CUDA 12 from NVIDIA's package on PyPI, unpacked in the directory."""
    path = f'{directory}/nvidia/cuda_nvcc/bin/ptxas'
    if not os.path.exists(path):
        os.makedirs(directory, exist_ok=True)
        command = ['python3', '-m', 'pip', 'download', '-q', '--no-deps', '-d', directory, PTXAS_WHEEL]
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
            raise Missing(f'no ptxas for this target: pip cannot download {PTXAS_WHEEL}')
        for name in os.listdir(directory):
            if name.endswith('.whl'):
                with zipfile.ZipFile(f'{directory}/{name}') as wheel:
                    wheel.extract('nvidia/cuda_nvcc/bin/ptxas', directory)
        os.chmod(path, 0o755)
    return path
