"""Compiles kernels that ran on the software driver with NVIDIA's own compilers, which need no GPU:

    pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl nvidia-cuda-nvcc
    SOFTWARE_CUDA_ARCH=90 SOFTWARE_CUDA_CACHE=kernels .ci/software-cuda/run PROGRAM
    python .ci/software-cuda/with_nvrtc.py kernels sm_90a SITE_PACKAGES/nvidia/cu13

Prints the registers and spilled bytes of each; ends with status 1 where one does not compile.
"""

import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = re.compile(r"__launch_bounds__\(\d+\)\s*(?:__cluster_dims__\([^)]*\))?\s*(\w+)")


def compile_to_ptx(nvrtc, source, arch, toolkit):
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), None, 0, None, None)
    options = [f"--gpu-architecture={arch}", f"--include-path={toolkit}/include", f"--include-path={toolkit}/include/cccl"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*[o.encode() for o in options]))
    get_size, get = (
        (nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog) if status else (nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    )
    get_size(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    get(program, text)
    return status, text.value


def main():
    kernels, arch, toolkit = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    nvrtc = ctypes.CDLL(str(next(toolkit.glob("lib/libnvrtc.so.*"))))
    paths, failed = sorted(kernels.glob("*.cu")), 0
    if not paths:
        sys.exit(f"no kernels in {kernels}")
    for path in paths:
        source = path.read_text()
        status, text = compile_to_ptx(nvrtc, source, arch, toolkit)
        with tempfile.TemporaryDirectory() as folder:
            if status == 0:
                (Path(folder) / "k.ptx").write_bytes(text)
                command = [toolkit / "bin/ptxas", f"-arch={arch}", "-v", f"{folder}/k.ptx", "-o", f"{folder}/k.cubin"]
                done = subprocess.run(command, capture_output=True, text=True)
                status, text = done.returncode, (done.stderr + done.stdout).encode()
        used = re.search(rb"Used (\d+) registers", text)
        spilled = re.search(rb"(\d+) bytes spill stores", text)
        failed += status != 0
        name = NAME.search(source)
        print(name and name[1], text.decode()[:400] if status else f"registers {int(used[1])} spilled {int(spilled[1])}")
    print(f"{len(paths)} kernels, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
