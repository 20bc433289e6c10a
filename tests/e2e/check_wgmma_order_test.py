"""scripts/check-wgmma-order must catch what it is there for."""
import importlib.machinery
import importlib.util
import pathlib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("check_wgmma_order", str(ROOT / "scripts/check-wgmma-order"))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_wgmma_order", loader))
loader.exec_module(check)

FENCE = "wgmma.fence.sync.aligned;"
PRODUCT = "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, %rd1, p, 1, 1, 1;"
COMMIT = "wgmma.commit_group.sync.aligned;"


def wait(left):
    return f"wgmma.wait_group.sync.aligned {left};"


def judge(*lines):
    return check.judge("\n".join([".visible .entry kernel(", *lines]))


class Order(unittest.TestCase):
    def test_what_is_in_order_passes(self):
        self.assertEqual(judge("mov.f32 %f1, 0f00000000;", FENCE, "add.s64 %rd1, %rd2, 32;", PRODUCT, PRODUCT, COMMIT, wait(0), "add.f32 %f9, %f1, %f2;"), [])

    def test_sums_that_are_written_behind_the_fence_fail(self):
        self.assertIn("%f1", judge(FENCE, "mov.f32 %f1, 0f00000000;", PRODUCT, COMMIT, wait(0))[0])

    def test_registers_of_a_that_are_written_behind_the_fence_fail(self):
        self.assertIn("%r3", judge(FENCE, "cvt.rn.bf16x2.f32 %r3, %f8, %f9;", PRODUCT, COMMIT, wait(0))[0])

    def test_what_is_under_way_may_not_be_touched(self):
        self.assertIn("under way", judge(FENCE, PRODUCT, COMMIT, "add.f32 %f9, %f1, %f2;", wait(0))[0])
        self.assertIn("under way", judge(FENCE, PRODUCT, COMMIT, "mov.b32 %r4, %r9;", wait(0))[0])

    def test_a_wait_settles_the_oldest_groups(self):
        other = PRODUCT.replace("%f1,%f2,%f3,%f4", "%f11,%f12,%f13,%f14").replace("%r1,%r2,%r3,%r4", "%r11,%r12,%r13,%r14")
        lines = [FENCE, PRODUCT, COMMIT, other, COMMIT, wait(1)]
        self.assertEqual(judge(*lines, "add.f32 %f9, %f1, %f2;"), [])
        self.assertIn("under way", judge(*lines, "add.f32 %f9, %f11, %f2;")[0])

    def test_a_product_without_a_fence_fails(self):
        self.assertIn("before any wgmma.fence", judge(PRODUCT, COMMIT, wait(0))[0])


if __name__ == "__main__":
    unittest.main()
