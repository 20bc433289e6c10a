"""What warps have to do, by pipe."""
import re

from issue_slots.pipes import bytes_of, is_product, pipe_of, shape_of


class Work:
    """Sums over instructions of a warp."""

    def __init__(self):
        self.slots = 0
        self.pipes = {}
        self.products = 0
        self.loads = 0  # of global memory
        self.tensor = 0.0  # cycles of the processor, for a warp's part
        self.operand = 0.0
        self.products_in_turn = 0.0  # the longer of the two, product by product
        self.shared = 0

    def add(self, i, times=1):
        self.slots += times
        pipe = pipe_of(i)
        self.loads += times * (i.base == "LDG")
        self.pipes[pipe] = self.pipes.get(pipe, 0) + times
        if is_product(i):
            self.products += times
            m, n, k = shape_of(i)
            rate = 8192 if i.base == "QGMMA" else 4096
            part = 4 if "GMMA" in i.base else 1  # a warpgroup's product stands in each of its four warps
            tensor, operand = 2 * m * n * k / rate / part, 0.0
            if part == 4:
                width = 1 if i.base == "QGMMA" else 2
                by_descriptor = not re.search(r"\bR\d+, R\d+, gdesc", i.text)
                operand = ((m * k * width if by_descriptor else 0) + n * k * width) / 128 / part
            self.tensor += times * tensor
            self.operand += times * operand
            self.products_in_turn += times * max(tensor, operand)
        elif pipe == "memory" and i.base not in ("LDG", "STG"):
            self.shared += times * bytes_of(i)
        return self

    def times(self, n):
        out = Work()
        for key in ("slots", "products", "loads", "tensor", "operand", "products_in_turn", "shared"):
            setattr(out, key, getattr(self, key) * n)
        out.pipes = {pipe: count * n for pipe, count in self.pipes.items()}
        return out

    def plus(self, other):
        out = self.times(1)
        for key in ("slots", "products", "loads", "tensor", "operand", "products_in_turn", "shared"):
            setattr(out, key, getattr(out, key) + getattr(other, key))
        for pipe, count in other.pipes.items():
            out.pipes[pipe] = out.pipes.get(pipe, 0) + count
        return out

    def cycles(self):
        """Cycles of a processor for each pipe, for one warp; four of them fit side by side where a scheduler has its own."""
        p = self.pipes
        return {
            "issue": self.slots / 4,
            "fma": (p.get("fma", 0) + 2 * p.get("imad", 0)) / 4,
            "alu": 2 * p.get("alu", 0) / 4,
            "mufu": 8 * p.get("mufu", 0) / 4,
            "lsu": self.shared / 128 + p.get("shuffle", 0),
            "tensor": self.tensor,
            "operand": self.operand,
            "shared": self.operand + self.shared / 128,
        }
