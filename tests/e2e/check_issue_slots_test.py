"""scripts/check-issue-slots must find hot loops, count what is in them and see when that becomes more."""
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from issue_slots.bound import judge_kernel
from issue_slots.sass import read_sass
from issue_slots.table import judge

QGMMA = "QGMMA.64x128x32.F32.E4M3.E4M3 R24, gdesc[UR16], R24"
FFMA = "FFMA R1, R2, R3, R1"


def sass(*lines):
    """As cuobjdump prints it: an instruction every 16 bytes, labels as `name:`, branches to `name`."""
    at, where, numbered = 0, {}, []
    for line in lines:
        if line.endswith(":"):
            where[line[:-1]] = at
        else:
            numbered.append((at, line))
            at += 16
    out = ["\t\tFunction : kernel"]
    for address, line in numbered:
        words = line.split()
        if "BRA" in words:
            line = line.replace(words[-1], hex(where[words[-1]]))
        out.append(f"        /*{address:04x}*/                   {line} ;    /* 0x000fe200078e00ff */")
    return "\n".join(out)


def instructions(*lines):
    return read_sass(sass(*lines))["kernel"]


# A loop over slabs with a barrier that is tried again out of line, a part that is seldom taken, and what comes before and after.
def gemm(promotions=64, seldom=40):
    return ["MOV R1, R2", "slab:", "SYNCS.PHASECHK.TRANS64.TRYWAIT P4, [R1], R2", "@!P4 BRA again", "ready:", *[QGMMA] * 4,
            "@!P1 BRA usual", *["FSEL R1, R2, R3, P0"] * seldom, "usual:", *[FFMA] * promotions, "@!P0 BRA slab", "STG.E desc[UR4][R2.64], R1",
            "EXIT", "again:", "SYNCS.PHASECHK.TRANS64.TRYWAIT P4, [R1], R2", "@!P4 BRA again", "BRA ready"]


def found(kernel, lines):
    return judge_kernel({"name": "kernel", **kernel}, instructions(*lines))


class HotLoop(unittest.TestCase):
    def test_a_turn_is_the_shortest_way_round_that_has_its_products(self):
        facts = found({"products": 4, "warps": 8}, gemm())
        # The wait and its branch, four products, the branch past the seldom part, 64 sums, the way back.
        self.assertEqual(facts["slots"], 2 + 4 + 1 + 64 + 1)
        self.assertEqual(facts["turns"][0].pipes["fma"], 64)
        self.assertNotIn("alu", facts["turns"][0].pipes)
        self.assertEqual(facts["pipes"]["tensor"], 2 * 4 * 2 * 64 * 128 * 32 / 8192)
        self.assertEqual(facts["pipes"]["issue"], 2 * 72)

    def test_a_way_without_the_loads_of_a_turn_is_none(self):
        lines = ["slab:", *[QGMMA] * 4, "@!P1 BRA last", "LDG.E R5, desc[UR4][R2.64]", "last:", FFMA, "@!P0 BRA slab", "EXIT"]
        self.assertEqual(found({"products": 4, "warps": 8}, lines)["slots"], 7)
        self.assertEqual(found({"products": 4, "warps": 8, "loads": 1}, lines)["slots"], 8)
        with self.assertRaisesRegex(ValueError, "no way through the loop"):
            found({"products": 4, "warps": 8, "loads": 2}, lines)

    def test_two_warpgroups_fill_in_for_each_other_until_one_has_too_much_beside_its_products(self):
        self.assertEqual(found({"products": 4, "warps": 8}, gemm())["in_turn"], 1.0)
        # 256 cycles of its own products and 308 slots: longer than both warpgroups' products together.
        facts = found({"products": 4, "warps": 8}, gemm(promotions=300))
        self.assertAlmostEqual(facts["in_turn"], 512 / (2 * 308))
        self.assertEqual(facts["longest"], "issue")
        facts = found({"products": 4, "warps": 8}, gemm(promotions=292 - 8))
        self.assertAlmostEqual(facts["in_turn"], 512 / (2 * 292))

    def test_one_warpgroup_alone_waits_for_its_products(self):
        facts = found({"products": 4, "warps": 4}, gemm())
        self.assertEqual(facts["at_most"], 1.0)
        self.assertAlmostEqual(facts["in_turn"], 256 / (256 + 68))

    def test_warpgroups_in_step_wait_for_all_products(self):
        facts = found({"products": 4, "warps": 8, "in_step": True}, gemm())
        self.assertAlmostEqual(facts["in_turn"], 512 / (512 + 2 * 68))

    def test_narrow_products_are_bound_by_their_operands(self):
        narrow = [line.replace("QGMMA.64x128x32.F32.E4M3.E4M3", "HGMMA.64x32x16.F32.BF16") for line in gemm(promotions=0)]
        facts = found({"products": 4, "warps": 8}, narrow)
        self.assertEqual(facts["pipes"]["tensor"], 8 * 16)
        self.assertEqual(facts["pipes"]["operand"], 8 * (64 * 16 * 2 + 32 * 16 * 2) / 128)
        self.assertEqual(facts["pipes"]["shared"], facts["pipes"]["operand"])
        self.assertIn(facts["longest"], ("operand", "shared"))
        self.assertAlmostEqual(facts["at_most"], 128 / 192)
        # Registers for the first operand: only the second is read.
        by_registers = [line.replace("R24, gdesc[UR16]", "R24, R8, gdesc[UR16]") for line in narrow]
        self.assertEqual(found({"products": 4, "warps": 8}, by_registers)["pipes"]["operand"], 8 * (32 * 16 * 2) / 128)

    def test_what_comes_into_shared_memory_takes_of_its_time(self):
        facts = found({"products": 4, "warps": 8, "fill": 2 * 128 * 128}, gemm())
        self.assertEqual(facts["pipes"]["shared"], 8 * 48 + 32768 / 128)
        self.assertEqual((facts["longest"], facts["at_most"]), ("shared", 512 / 640))

    def test_inner_loops_count_as_often_as_they_turn(self):
        lines = ["slab:", "MOV R1, R2", "step:", "LDSM.16.M88.4 R4, [R1]", "HMMA.16816.F32.BF16 R8, R4, R6, R8", "@!P1 BRA step", FFMA, "@!P0 BRA slab", "EXIT"]
        facts = found({"products": None, "warps": 4, "inner": [4]}, lines)
        self.assertEqual(facts["slots"], 4 * 3 + 3)
        self.assertEqual(facts["turns"][0].products, 4)
        self.assertEqual(facts["pipes"]["lsu"], 4 * 4 * 512 / 128)

    def test_warpgroups_may_have_a_loop_each(self):
        # The second one has more beside its products; four warps go round either.
        lines = ["@P3 BRA second", "first:", *[QGMMA] * 4, FFMA, "@!P0 BRA first", "EXIT", "second:", *[QGMMA] * 4, *[FFMA] * 11, "@!P0 BRA second", "EXIT"]
        facts = found({"products": 4, "warps": 8, "roles": 2}, lines)
        self.assertEqual([turn.slots for turn in facts["turns"]], [6, 16])
        self.assertEqual(facts["slots"], 22)
        self.assertEqual(facts["pipes"]["tensor"], 2 * 4 * 2 * 64 * 128 * 32 / 8192)
        self.assertEqual(facts["pipes"]["issue"], 4 * 22 / 4)
        self.assertEqual(facts["in_turn"], 1.0)
        lines[lines.index(FFMA, 9):-2] = [FFMA] * 300
        self.assertAlmostEqual(found({"products": 4, "warps": 8, "roles": 2}, lines)["in_turn"], 512 / (256 + 301))
        with self.assertRaisesRegex(ValueError, "1 loops with products, not one for each of 2 roles"):
            found({"products": 4, "warps": 8, "roles": 2}, gemm())

    def test_a_way_that_says_what_it_must_not_is_none(self):
        lines = ["slab:", "@!P1 BRA usual", "BAR.SYNC.DEFER_BLOCKING 0x1, 0x100", *[QGMMA] * 4, "BRA end", "usual:", *[QGMMA] * 4, *[FFMA] * 9, "end:",
                 "@!P0 BRA slab", "EXIT"]
        self.assertEqual(found({"products": 4, "warps": 8}, lines)["slots"], 8)
        self.assertEqual(found({"products": 4, "warps": 8, "without": "0x1, 0x100"}, lines)["slots"], 15)

    def test_what_is_never_done_takes_a_slot_and_no_bandwidth(self):
        facts = found({"products": 4, "warps": 8}, ["slab:", *[QGMMA] * 4, "@!PT LDS RZ, [RZ]", "@!P0 BRA slab", "EXIT"])
        self.assertEqual((facts["slots"], facts["pipes"]["lsu"]), (6, 0))

    def test_memory_bounds_what_has_little_to_do(self):
        facts = found({"products": 4, "warps": 8, "bytes": 1 << 15}, gemm())
        self.assertEqual((facts["goal"], facts["longest"], facts["at_most"]), ("memory", "memory", 1.0))

    def test_what_is_not_there_is_said(self):
        with self.assertRaisesRegex(ValueError, "no way through the loop has 5 products; there are ways with 4"):
            found({"products": 5, "warps": 8}, gemm())
        with self.assertRaisesRegex(ValueError, "no loop with products"):
            found({"products": 4, "warps": 8}, ["FFMA R1, R2, R3, R1", "EXIT"])


class Table(unittest.TestCase):
    def test_a_loop_within_the_table_passes_and_a_longer_one_does_not(self):
        table = {"kernel": {"at_most": 1.0, "in_turn": 1.0, "slots": 72}}
        kernel = {"products": 4, "warps": 8}
        self.assertEqual(judge({"kernel": found(kernel, gemm())}, table), [])
        self.assertEqual(judge({"kernel": found(kernel, gemm(promotions=67))}, table), [])
        self.assertIn("76 instructions a turn, the table says 72 (and lets 75 pass)", judge({"kernel": found(kernel, gemm(promotions=68))}, table)[0])
        wrong = judge({"kernel": found(kernel, gemm(promotions=300))}, table)
        self.assertTrue(any("at most 83.1% of tensor, bound by issue" in line for line in wrong), wrong)

    def test_kernels_that_either_side_lacks_are_named(self):
        wrong = judge({"new": found({"products": 4, "warps": 8}, gemm()), "gone": "not in it"}, {"old": {"at_most": 1, "in_turn": 1, "slots": 1}})
        self.assertEqual(len(wrong), 3)
        self.assertIn("--update adds it", wrong[0])


if __name__ == "__main__":
    unittest.main()
