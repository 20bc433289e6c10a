"""Machine code as cuobjdump prints it."""
import re


class Instruction:
    def __init__(self, address, text):
        self.address = address
        self.text = text
        words = text.split()
        self.guard = words.pop(0) if words[0].startswith("@") else ""
        self.op = words[0]
        self.base = self.op.split(".")[0]
        self.target = None
        if self.base in ("BRA", "BRX"):
            found = re.findall(r"0x([0-9a-f]+)", text)
            self.target = int(found[-1], 16) if found else None
        # A branch that depends on a predicate among its operands falls through as well.
        self.conditional = bool(self.guard) or (self.base == "BRA" and len(words) > 2)

    @property
    def ends(self):
        return self.base in ("EXIT", "RET", "BRX") or (self.base == "BRA" and not self.conditional)


def read_sass(text):
    """Mangled name → instructions, of what cuobjdump -sass prints."""
    functions = {}
    name = None
    for line in text.splitlines():
        if found := re.search(r"Function : (\S+)", line):
            name = found.group(1)
            functions[name] = []
        elif name and (found := re.match(r"\s+/\*([0-9a-f]+)\*/\s+(.*?)\s*;", line)):
            functions[name].append(Instruction(int(found.group(1), 16), found.group(2)))
    return functions
