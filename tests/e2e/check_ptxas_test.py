"""scripts/check-ptxas must catch what it is there for."""
import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("check_ptxas", str(ROOT / "scripts/check-ptxas"))
spec = importlib.util.spec_from_loader("check_ptxas", loader)
check_ptxas = importlib.util.module_from_spec(spec)
loader.exec_module(check_ptxas)

NAME = "_ZN7dsbench6engine7kernels4cuda39_GLOBAL__N__1b768e0c_7_norm_cu_8bbc8e1914rmsnorm_kernelItLb0EEEvPKT_S7_S7_PS5_S8_i"
SAID = f"""ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{NAME}' for 'sm_90a'
ptxas info    : Function properties for {NAME}
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 55 registers, used 1 barriers
"""


class CheckPtxas(unittest.TestCase):
    CLEAN = SAID.replace("8 bytes stack frame, 4 bytes spill stores, 12", "0 bytes stack frame, 0 bytes spill stores, 0")

    def found(self, text=SAID):
        kernels = check_ptxas.parse(text)
        return dict(zip(check_ptxas.demangled(list(kernels)), kernels.values()))

    def test_reads_registers_and_spills(self):
        self.assertEqual(self.found(), {"rmsnorm_kernel<unsigned short, false>": {"registers": 55, "spill_bytes": 16, "stack_bytes": 8}})

    def test_a_spill_fails(self):
        self.assertIn("spills 16 bytes", check_ptxas.judge(self.found(), {"rmsnorm_kernel<unsigned short, false>": 55})[0])

    def test_local_memory_fails(self):
        stack = self.found(self.CLEAN.replace("0 bytes stack", "256 bytes stack"))
        self.assertIn("keeps 256 bytes in local memory", check_ptxas.judge(stack, {"rmsnorm_kernel<unsigned short, false>": 55})[0])

    def test_what_ptxas_remarks_on_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            for remark in ("(C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to …",
                           "(C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count at entry."):
                (pathlib.Path(folder) / "norm.cu.o.ptxas.txt").write_text(f"ptxas info    : {remark}\n" + self.CLEAN)
                _, found, said = check_ptxas.read_build(folder)
                self.assertEqual(check_ptxas.judge(found, {"rmsnorm_kernel<unsigned short, false>": 55}, said), [f"norm.cu: {remark}"])

    def test_registers_beyond_the_table_fail(self):
        clean = self.found(self.CLEAN)
        name = "rmsnorm_kernel<unsigned short, false>"
        self.assertEqual(check_ptxas.judge(clean, {name: 50}), [])
        self.assertIn("55 registers, the table says 40", check_ptxas.judge(clean, {name: 40})[0])

    def test_an_unlisted_and_a_vanished_kernel_fail(self):
        clean = self.found(self.CLEAN)
        wrong = check_ptxas.judge(clean, {"other": 10})
        self.assertEqual(len(wrong), 2)
        self.assertIn("not in ptxas_budget.json", wrong[0])
        self.assertIn("no such kernel", wrong[1])


if __name__ == "__main__":
    unittest.main()
