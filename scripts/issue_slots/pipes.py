"""Which pipe an instruction takes, and for how long."""
import re


def is_product(i):
    return i.base in ("HGMMA", "QGMMA", "HMMA", "QMMA", "IMMA")


def shape_of(i):
    if found := re.search(r"\.(\d+)x(\d+)x(\d+)\.", i.op):
        return tuple(map(int, found.groups()))
    found = re.search(r"\.(16)(8)(\d+)\.", i.op)
    return (16, 8, int(found.group(3)))


FMA = {"FFMA", "FADD", "FMUL", "HFMA2", "HADD2", "HMUL2"}
MUFU = {"MUFU", "POPC", "FLO", "BREV"}
MEMORY = {"LDS", "STS", "LDSM", "STSM", "LDG", "STG", "LD", "ST", "LDGSTS", "ATOMS", "RED", "ATOMG"}
CONTROL = {"BRA", "BRX", "EXIT", "RET", "CALL", "BSSY", "BSYNC", "BREAK", "WARPSYNC", "BAR", "SYNCS", "DEPBAR", "LDGDEPBAR", "WARPGROUP", "NOP", "YIELD",
           "ELECT", "FENCE", "MEMBAR", "ARRIVES", "ENDCOLLECTIVE", "NANOSLEEP", "UTMALDG", "UTMASTG", "ERRBAR", "CGAERRBAR", "CCTL", "S2R", "S2UR",
           "CS2R", "R2UR", "R2P", "P2R", "LDC", "LDCU", "MOV"}


def pipe_of(i):
    if i.guard == "@!PT":  # never: the compiler keeps others apart with it
        return "control"
    if is_product(i):
        return "tensor"
    if i.base in FMA:
        return "fma"
    if i.base.startswith("IMAD") or i.base == "IDP":
        return "imad"
    if i.base in MUFU:
        return "mufu"
    if i.base == "SHFL":
        return "shuffle"
    if i.base in MEMORY:
        return "memory"
    if i.base in CONTROL or i.base.startswith("U") and i.base != "USETMAXREG":
        return "control"
    return "alu"


def bytes_of(i):
    """What an access of a warp takes of shared memory's bandwidth."""
    if i.base in ("LDSM", "STSM"):
        return 32 * 4 * int((re.search(r"\.M88\.(\d)", i.op) or re.search(r"\.(\d)(?:\.|$)", i.op) or [0, 4])[1])
    width = re.search(r"\.(64|128)(?:\.|$)", i.op)
    return 32 * (int(width.group(1)) // 8 if width else 4)
