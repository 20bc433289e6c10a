"""The kernels that are looked at."""

# Kernels: the file, the name as check-ptxas gives it, products of one turn, warps that take turns together on a processor (blocks of it
# times warps that multiply), bytes that TMA puts into shared memory for one turn of all of them (fill), bytes that memory brings for it (for
# those that memory is to bound), the turns of inner loops in the order of their addresses (the first of them; the others may be passed by),
# whether warpgroups go in step, loads that a turn has at least, roles: how many parts of the warps have a loop of their own, without: what no
# instruction of a turn says, beside: an instruction of the loop of a further warpgroup, which turns so often for a turn of the others.
# Two pages a turn; both warpgroups meet only for a request of one page.
SEESAW = dict(roles=2, products=44, warps=8, without="BAR.SYNC.DEFER_BLOCKING 0x1, 0x100")
ENTRIES_OF_512 = {**SEESAW, "products": 40}

KERNELS = [
    dict(file="gemm_wgmma", name="gemm_wgmma_kernel<2, true, 2, 1>", products=4, warps=8, loads=3, fill=2 * 128 * 128),
    dict(file="gemm_wgmma", name="gemm_wgmma_kernel<2, false, 2, 1>", products=4, warps=8, loads=3, fill=2 * 128 * 128),
    dict(file="gemm_wgmma", name="gemm_wgmma_kernel<2, true, 1, 1>", products=4, warps=8, loads=3, fill=2 * 128 * 128),
    dict(file="gemm_wgmma", name="gemm_wgmma_kernel<2, false, 1, 1>", products=4, warps=8, loads=3, fill=2 * 128 * 128),
    dict(file="gemm_wgmma", name="gemm_wgmma_kernel<2, true, 2, 2>", products=8, warps=8, loads=5, fill=(256 + 128) * 128),
    dict(file="gemm_swapped", name="gemm_swapped_kernel<64, 8>", products=4, warps=4, fill=72 * 128, bytes=64 * 128),
    dict(file="gemm_swapped", name="gemm_swapped_kernel<128, 16>", products=4, warps=8, fill=144 * 128, bytes=128 * 128),
    dict(file="gemm_swapped", name="gemm_swapped_kernel<128, 64>", products=4, warps=8, fill=192 * 128, bytes=128 * 128),
    dict(file="gemm_swapped", name="gemm_swapped_kernel<128, 128>", products=4, warps=8, fill=256 * 128, bytes=128 * 128),
    dict(file="mla_decode_wgmma", name="mla_decode_wgmma_kernel<false>", products=40, warps=8, in_step=True, fill=64 * 1152),
    dict(file="mla_decode_wgmma", name="mla_decode_wgmma_kernel<false>", label="16 heads", products=40, warps=8, in_step=True, fill=64 * 1152,
         bytes=64 * 1152),
    dict(file="mla_decode_wgmma", name="mla_decode_wgmma_kernel<true>", products=40, warps=8, in_step=True, beside="E4M3.UNPACK", beside_turns=4),
    dict(file="mla_decode_wgmma", name="mla_decode_wgmma_kernel<true>", label="16 heads", products=40, warps=8, in_step=True,
         beside="E4M3.UNPACK", beside_turns=4, bytes=64 * 656),
    dict(file="mla_seesaw", name="mla_seesaw_kernel<false>", **SEESAW, fill=2 * 64 * 1152),
    dict(file="mla_seesaw", name="mla_seesaw_kernel<false>", label="64 heads", **SEESAW, fill=2 * 64 * 1152, bytes=2 * 64 * 1152),
    dict(file="mla_seesaw", name="mla_seesaw_kernel<true>", **SEESAW, beside="E4M3.UNPACK", beside_turns=8),
    dict(file="mla_seesaw", name="mla_seesaw_kernel<true>", label="64 heads", **SEESAW, beside="E4M3.UNPACK", beside_turns=8,
         bytes=2 * 64 * 656),
    dict(file="mla_gather", name="mla_gather_kernel<false>", **SEESAW, beside="LDGSTS.E", beside_turns=2),
    dict(file="mla_gather", name="mla_gather_kernel<false>", label="64 heads", **SEESAW, beside="LDGSTS.E", beside_turns=2,
         bytes=2 * 64 * 1152),
    dict(file="mla_gather", name="mla_gather_kernel<true>", **SEESAW, beside="E4M3.UNPACK", beside_turns=8),
    dict(file="mla_gather", name="mla_gather_kernel<true>", label="64 heads", **SEESAW, beside="E4M3.UNPACK", beside_turns=8,
         bytes=2 * 64 * 656),
    dict(file="csa_gather", name="csa_gather_kernel<false>", **ENTRIES_OF_512, beside="LDGSTS.E", beside_turns=2),
    dict(file="csa_gather", name="csa_gather_kernel<false>", label="64 heads", **ENTRIES_OF_512, beside="LDGSTS.E", beside_turns=2, bytes=2 * 64 * 1024),
    dict(file="csa_gather", name="csa_gather_kernel<true>", **ENTRIES_OF_512, beside="E4M3.UNPACK", beside_turns=8),
    dict(file="csa_gather", name="csa_gather_kernel<true>", label="64 heads", **ENTRIES_OF_512, beside="E4M3.UNPACK", beside_turns=8, bytes=2 * 64 * 584),
    dict(file="mla_prefill_wgmma", name="mla_prefill_wgmma_kernel", products=20, warps=8, fill=128 * (192 + 128) * 2),
    dict(file="dsa_indexer_wgmma", name="dsa_indexer_wgmma_kernel", products=4, warps=16, fill=2 * 128 * 128, bytes=2 * 128 * 128),
    dict(file="mla_decode", name="mla_decode_kernel<1, false, false>", products=None, warps=8, in_step=True, inner=[18, 1, 4], loads=1, bytes=64 * 1152),
    dict(file="mla_decode", name="mla_decode_kernel<1, false, true>", products=None, warps=8, in_step=True, inner=[2, 18, 1, 4], loads=1, bytes=64 * 656),
    dict(file="mla_decode", name="mla_decode_kernel<4, true, false>", products=None, warps=8, in_step=True, inner=[18, 1, 4], loads=1),
    dict(file="mla_decode", name="mla_decode_kernel<4, true, false>", label="64 heads", products=None, warps=8, in_step=True, inner=[18, 1, 4], loads=1,
         bytes=64 * 1152),
    dict(file="mla_decode", name="mla_decode_kernel<4, true, true>", products=None, warps=8, in_step=True, inner=[2, 18, 1, 4], loads=1),
    dict(file="mla_decode", name="mla_decode_kernel<4, true, true>", label="64 heads", products=None, warps=8, in_step=True, inner=[2, 18, 1, 4], loads=1,
         bytes=64 * 656),
    dict(file="mla_decode", name="mla_decode_kernel<1, true, false>", products=None, warps=8, in_step=True, inner=[18, 1, 4], loads=1, bytes=64 * 1152),
    dict(file="mla_decode", name="mla_decode_kernel<1, true, true>", products=None, warps=8, in_step=True, inner=[2, 18, 1, 4], loads=1, bytes=64 * 656),
    dict(file="csa_decode", name="csa_decode_kernel<4, false>", products=None, warps=8, in_step=True, inner=[2, 2, 16, 1, 4]),
    dict(file="csa_decode", name="csa_decode_kernel<4, true>", products=None, warps=8, in_step=True, inner=[1, 2, 2, 16, 1, 4]),
    dict(file="gemm", name="gemm_kernel<true, 128, true>", products=None, warps=8, inner=[4, 4]),
    dict(file="gemm", name="gemm_kernel<false, 128, true>", products=None, warps=8, inner=[4]),
]


def label_of(kernel):
    return kernel["name"] + (f" ({kernel['label']})" if "label" in kernel else "")
