"""From a build to the bounds of its kernels."""
import glob
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import subprocess

from issue_slots.bound import judge_kernel
from issue_slots.kernels import KERNELS, label_of
from issue_slots.sass import read_sass

ROOT = pathlib.Path(__file__).resolve().parents[2]


def find_tools():
    places = os.environ.get("PATH", "").split(os.pathsep) + ["/usr/local/cuda/bin"]
    places += sorted(glob.glob(str(ROOT / "build/test-venv/lib/python3*/site-packages/nvidia/*/bin")))
    path = os.pathsep.join(places)
    return path if shutil.which("cuobjdump", path=path) and shutil.which("nvdisasm", path=path) else None


def read_build(build, path):
    """Kernel's label → what judge_kernel found, or a sentence."""
    loader = importlib.machinery.SourceFileLoader("check_ptxas", str(ROOT / "scripts/check-ptxas"))
    ptxas = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_ptxas", loader))
    loader.exec_module(ptxas)
    found = {}
    for file in dict.fromkeys(k["file"] for k in KERNELS):
        objects = sorted(pathlib.Path(build).rglob(f"{file}.cu.o"))
        if not objects:
            raise FileNotFoundError(f"{build} has no {file}.cu.o; was it built with nvcc?")
        text = subprocess.run(["cuobjdump", "-sass", str(objects[0])], capture_output=True, text=True, check=True,
                              env={**os.environ, "PATH": path}).stdout
        functions = read_sass(text)
        names = dict(zip(ptxas.demangled(list(functions)), functions.values()))
        for kernel in KERNELS:
            if kernel["file"] != file:
                continue
            if kernel["name"] not in names:
                found[label_of(kernel)] = f"not in {objects[0].name}, which has {', '.join(sorted(names))}"
                continue
            try:
                found[label_of(kernel)] = judge_kernel(kernel, names[kernel["name"]])
            except ValueError as wrong:
                found[label_of(kernel)] = str(wrong)
    return found
